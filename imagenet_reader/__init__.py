"""Where the images of ImageNet are, and how they are read.

This package knows nothing of configs and builders: ``imagenet_subsets`` uses it, and the tools use both.

====================  =================================================================================
``official``          what image-net.org publishes: names, sizes, how to get it
``lists``             the published lists, a user's own list, the classes
``tar``, ``walk``     the tar format, and the walk over all headers of an archive
``walkers``           the ways to walk: hopping, by processes or alone, and streaming
``walk_worker``       a process that walks for another
``members``           the members of an archive as a table
``index``             the kept index of an archive
``layouts``           one module a layout, and ``find``, which finds the layout of a folder
``rows``              where the image of each row is
``plan``              what follows from a config: the rows of its splits
``batches``           reading ahead, in row order
``pixels``            an image as the benchmarks see it
``places``            paths that say where an image is, for rows whose images stay in the archive
``filesystem``        the file system of ``fsspec`` that reads them
``files``             files: opening them, noticing their change, the progress bar
``options``           whether the names of options are right
``record``            what a dataset in the cache is, in a record beside it
``processes``         processes that end with the one that started them
``datasets_private``  everything private in ``datasets`` that is used here
====================  =================================================================================
"""
