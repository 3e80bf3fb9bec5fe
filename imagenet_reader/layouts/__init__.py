"""The layouts in which people have ImageNet, one module each; ``find.find_layout`` says which a folder has.

To add one, write a ``base.Layout`` and, if no reader here will do, a ``base.Reader``, and name it in ``find``.
"""
