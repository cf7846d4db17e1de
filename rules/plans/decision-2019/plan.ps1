# Plan for SRV1, Server 2019.
# Made from the report of 2026-03-02 08:00 UTC.
# Nothing is left to a script.
# By hand: Zabbix Agent is stopped: tcp/10050 is held by other.exe
# - Decide which of the two is to have tcp/10050: Zabbix Agent or other.exe (PID 500, service OtherSvc).
# - Stop OtherSvc. Services that depend on it stop too; start them again afterwards.
# - Start Zabbix Agent.
# - Give the other one another port or disable it, or the next boot will be the same race.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Write-Host 'Nothing is to be done by this script.'
