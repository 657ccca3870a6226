package server

const hasStamps = true
