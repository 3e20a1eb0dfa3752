"""ROS 2 without ROS: message types, CDR, and topics on zenoh."""
