# Plan for DC2, Server 2008 R2.
# Made from the report of 2026-03-02 08:00 UTC.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'DC2' '7601'
try {
    if ($Undo) {
        Write-Host 'Set SocketPoolExcludedPortRanges back to 1900.'
        Set-Ranges 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\DNS\Parameters' 'SocketPoolExcludedPortRanges' @('1900-1900')
        Write-Host 'Stop DNS, and with it the services that depend on it.'
        Stop-ByName 'DNS'
        Write-Host 'Start DNS.'
        Start-ByName 'DNS'
    } elseif ($AfterRestart) {
        Write-Host 'Done. The next report shows it.'
    } else {
        Save-Key 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\DNS\Parameters' 1
        Write-Host 'Stop DNS, and with it the services that depend on it.'
        Stop-ByName 'DNS'
        Write-Host 'Add 1645-1646 and 1812-1813 to SocketPoolExcludedPortRanges; what it holds stays.'
        Add-Ranges 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\DNS\Parameters' 'SocketPoolExcludedPortRanges' @('1645-1646', '1812-1813')
        Write-Host 'Start IAS.'
        Start-ByName 'IAS'
        Write-Host 'Start DNS.'
        Start-ByName 'DNS'
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
