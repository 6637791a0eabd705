"""Particles of cryo-EM: tables of RELION and cryoSPARC that name single images of stacks."""
