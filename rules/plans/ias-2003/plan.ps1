# Plan for OLD1, Server 2003.
# Made from the report of 2026-03-02 08:00 UTC.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'OLD1' '3790'
try {
    if ($Undo) {
        Write-Host 'Set ReservedPorts back to 2883.'
        Set-Ranges 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' 'ReservedPorts' @('2883-2883')
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
    } elseif ($AfterRestart) {
        Write-Host 'Done. The next report shows it.'
    } else {
        Save-Key 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' 1
        Write-Host 'Stop DNS, and with it the services that depend on it.'
        Stop-ByName 'DNS'
        Write-Host 'Add 1645-1646 and 1812-1813 to ReservedPorts; what it holds stays.'
        Add-Ranges 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' 'ReservedPorts' @('1645-1646', '1812-1813')
        Write-Host 'Start IAS.'
        Start-ByName 'IAS'
        Write-Host 'Start DNS.'
        Start-ByName 'DNS'
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
