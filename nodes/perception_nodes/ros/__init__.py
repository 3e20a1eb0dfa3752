"""ROS 2 without ROS: CDR, message types, topics, and their keys on zenoh."""
