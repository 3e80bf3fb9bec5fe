"""Reading images: ahead, in row order, or one by one through the file system."""
