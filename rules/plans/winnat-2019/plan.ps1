# Plan for HV1, Server 2019.
# Made from the report of 2026-03-02 08:00 UTC.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'HV1' '17763'
try {
    if ($Undo) {
        Write-Host 'Let Windows hand out tcp/62354 again, for IPv6.'
        Remove-Exclusion ipv6 tcp 62354 62354
        Write-Host 'Let Windows hand out tcp/62354 again, for IPv4.'
        Remove-Exclusion ipv4 tcp 62354 62354
    } elseif ($AfterRestart) {
        Write-Host 'Done. The next report shows it.'
    } else {
        Write-Host 'Stop winnat, and with it the services that depend on it.'
        Stop-ByName 'winnat'
        Write-Host 'Exclude tcp/62354 from what Windows hands out by itself, for IPv4; who asks for it by number still gets it.'
        Add-Exclusion ipv4 tcp 62354 62354
        Write-Host 'Exclude tcp/62354 from what Windows hands out by itself, for IPv6; who asks for it by number still gets it.'
        Add-Exclusion ipv6 tcp 62354 62354
        Write-Host 'Start glpi-agent.'
        Start-ByName 'glpi-agent'
        Write-Host 'Start winnat.'
        Start-ByName 'winnat'
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
