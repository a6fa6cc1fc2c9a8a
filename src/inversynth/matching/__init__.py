"""One sound in; a patch, its sound, its picture and its report out."""
