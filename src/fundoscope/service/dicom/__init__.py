"""DICOM on the network: photographs that come by C-STORE or STOW-RS, and reports that are sent on."""
