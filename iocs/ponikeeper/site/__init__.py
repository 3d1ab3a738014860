"""What a site needs besides the IOC: alarms, archiver, screens, ChannelFinder, import of old calibrations."""
