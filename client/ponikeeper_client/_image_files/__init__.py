"""Images from files, averaged over their valid pixels: `reading` reads every format, `hdf5` finds images in HDF5."""
