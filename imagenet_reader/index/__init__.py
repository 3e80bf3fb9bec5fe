"""The index of an archive: the table of its images, so that no archive is walked twice."""
