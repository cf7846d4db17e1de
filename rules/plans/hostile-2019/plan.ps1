# Plan for <b>x</b>���, Server 2019.
# Made from the report of 2026-03-02 08:00 UTC.
# Nothing is left to a script.
# By hand: BlackBerry Router did not start: tcp/3101 is held by <img src=x onerror=alert(1)>�.exe
# - Decide which of the two is to have tcp/3101: BlackBerry Router or <img src=x onerror=alert(1)>�.exe (PID 66, service a" & calc "b).
# - Stop a" & calc "b. Services that depend on it stop too; start them again afterwards.
# - Start BlackBerry Router.
# - Give the other one another port or disable it, or the next boot will be the same race.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Write-Host 'Nothing is to be done by this script.'
