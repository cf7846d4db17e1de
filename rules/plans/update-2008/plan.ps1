# Plan for MAIL1, Server 2008.
# Made from the report of 2026-03-02 08:00 UTC.
# By hand: KB948609 breaks Autodiscover on this Exchange 2007 SP1 server
# - Test: Test-OutlookWebServices passes, and Outlook shows Out of Office.
# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.
param([switch] $AfterRestart, [switch] $Undo)
(prelude)

Assert-Place 'MAIL1' '6001'
try {
    if ($Undo) {
        Write-Warning 'By hand: Install KB948609 again from the Microsoft Update Catalog.'
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
    } elseif ($AfterRestart) {
        Write-Host 'Done. The next report shows it.'
    } else {
        Write-Host 'Uninstall KB948609.'
        Remove-Update (Join-Path $env:SystemRoot 'System32\pkgmgr.exe') '/up:Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716 /norestart'
        Write-Host 'Restart the server.'
        Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow
        Write-Host 'Done. The next report shows it.'
    }
} finally {
    Start-Stopped
}
