# Plan for H1, Server 2012 R2.
# Made from the report of 2026-03-02 08:00 UTC.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'H1' '9600'
try {
    if ($Undo) {
        Write-Host 'Let Windows hand out tcp/3101 again, for IPv6.'
        Remove-Exclusion ipv6 tcp 3101 3101
        Write-Host 'Let Windows hand out tcp/3101 again, for IPv4.'
        Remove-Exclusion ipv4 tcp 3101 3101
        Write-Warning 'By hand: Put DCTcpipPort under HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters back to what it was, from the file that the script saved first.'
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
    } elseif ($AfterRestart) {
        Write-Host 'Exclude tcp/3101 from what Windows hands out by itself, for IPv4; who asks for it by number still gets it.'
        Add-Exclusion ipv4 tcp 3101 3101
        Write-Host 'Exclude tcp/3101 from what Windows hands out by itself, for IPv6; who asks for it by number still gets it.'
        Add-Exclusion ipv6 tcp 3101 3101
        Write-Host 'Start BlackBerry Router.'
        Start-ByName 'BlackBerry Router'
        Write-Host 'Done. The next report shows it.'
    } else {
        Save-Key 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters' 1
        Write-Host 'Set DCTcpipPort under HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters to 47200.'
        Set-Value 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters' 'DCTcpipPort' (47200) DWord unread $null
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
