# Plan for BES1, Server 2003.
# Made from the report of 2026-03-02 08:00 UTC.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'BES1' '3790'
try {
    if ($Undo) {
        Write-Host 'Delete TCP/IP Port under HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters, which was not set.'
        Remove-Value 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\NTDS\Parameters' 'TCP/IP Port'
        Write-Host 'Set ReservedPorts back to 1433-1434.'
        Set-Ranges 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' 'ReservedPorts' @('1433-1434')
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
    } elseif ($AfterRestart) {
        Write-Host 'Done. The next report shows it.'
    } else {
        Save-Key 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\NTDS\Parameters' 1
        Save-Key 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' 2
        Write-Host 'Add 3101 to ReservedPorts; what it holds stays.'
        Add-Ranges 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters' 'ReservedPorts' @('3101-3101')
        Write-Host 'Set TCP/IP Port under HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters to 47100.'
        Set-Value 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\NTDS\Parameters' 'TCP/IP Port' (47100) DWord absent $null
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
