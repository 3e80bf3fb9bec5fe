"""The forms in which people have ImageNet, one module per form; ``find.find_layout`` says which a folder has.

To add one, write a ``base.Layout``, or a ``kept.Kept`` if it can be read only from beginning to end, and add it to
``find.LAYOUTS``.
"""
