from .adversaries.joint_generator import JointGenerator
