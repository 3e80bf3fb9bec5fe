"""Where the images of ImageNet are, and how they are read.

==============  ================================================================================================
``official``    facts that image-net.org publishes: names, sizes, how to get the files
``lists``       the published lists, the classes
``own_lists``   a user's own list
``class_sets``  some of the classes: the option ``classes``, and labels that count from 0 in them
``sources``     the bytes of a file, wherever it is
``formats``     how one image lies in a file
``layouts``     the forms in which people have ImageNet, one module per form
``walk``        the walk over all headers of an archive
``index``       the members of an archive as a table, and the index kept of them
``plan``        the rows that follow from a config
``plan_lists``  the lists that the splits of a config are from
``rows``        rows: their names, labels and where their images are
``reading``     reading images, ahead in row order or one at a time
``hf``          all that depends on ``datasets``
``files``       disk space, temporary folders, digests
``errors``      the error of an archive that is not what it should be
==============  ================================================================================================
"""
