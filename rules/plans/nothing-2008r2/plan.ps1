# Plan for SRV1, Server 2008 R2.
# Made from the report of 2026-03-02 08:00 UTC.
# Nothing is to be done.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Write-Host 'Nothing is to be done by this script.'
