# Plan for OLD2, Server 2008.
# Made from the report of 2026-03-02 08:00 UTC.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'OLD2' '6001'
try {
    if ($Undo) {
        Write-Warning 'By hand: Set it back to what it was.'
        Write-Host 'Move the dynamic range of udp, for IPv4, back to 1025-60000.'
        Set-DynamicRange ipv4 udp 1025 58976
    } elseif ($AfterRestart) {
        Write-Host 'Done. The next report shows it.'
    } else {
        Write-Host 'Stop DNS, and with it the services that depend on it.'
        Stop-ByName 'DNS'
        Write-Host 'Move the dynamic range of udp, for IPv4, to 49152-65535.'
        Set-DynamicRange ipv4 udp 49152 16384
        Write-Host 'Move the dynamic range of udp, for IPv6, to 49152-65535.'
        Set-DynamicRange ipv6 udp 49152 16384
        Write-Host 'Start IAS.'
        Start-ByName 'IAS'
        Write-Host 'Start DNS.'
        Start-ByName 'DNS'
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
