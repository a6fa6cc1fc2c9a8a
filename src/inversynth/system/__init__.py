"""What the operating system gives: files, processes, devices, real-time priority."""
