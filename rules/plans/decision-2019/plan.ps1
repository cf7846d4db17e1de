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
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2
Add-Type -AssemblyName System.ServiceProcess
$Netsh = Join-Path $env:SystemRoot 'System32\netsh.exe'
$Reg = Join-Path $env:SystemRoot 'System32\reg.exe'
$Here = Split-Path -Parent $MyInvocation.MyCommand.Path
# Services that this run stopped and that ran before, in that order.
$Stopped = New-Object System.Collections.ArrayList

function Assert-Place([string] $HostName, [string] $Build) {
    $who = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $who.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Start PowerShell as administrator.'
    }
    if ([IntPtr]::Size -eq 4 -and $env:PROCESSOR_ARCHITEW6432) { throw 'Start the 64-bit PowerShell.' }
    if ($HostName -and $env:COMPUTERNAME -ne $HostName -and [Net.Dns]::GetHostName() -ne $HostName) {
        throw "This plan is for $HostName, and this is $env:COMPUTERNAME."
    }
    $found = Read-Value 'HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion' 'CurrentBuildNumber'
    if ($found -ne $Build) { throw "This plan is for build $Build, and this is build $found. Download the plan anew." }
}

function Find-ByName([string] $Name) {
    $all = @([ServiceProcess.ServiceController]::GetServices()) + @([ServiceProcess.ServiceController]::GetDevices())
    $all | Where-Object { $_.ServiceName -eq $Name } | Select-Object -First 1
}

function Stop-ByName([string] $Name) {
    $service = Find-ByName $Name
    if (-not $service -or $service.Status -eq 'Stopped') { Write-Host "  $Name does not run."; return }
    foreach ($dependent in @($service.DependentServices)) {
        if ($dependent.Status -ne 'Stopped') { Stop-ByName $dependent.ServiceName }
    }
    $service.Refresh()
    if ($service.Status -ne 'Stopped') {
        $service.Stop()
        $service.WaitForStatus('Stopped', [TimeSpan]::FromMinutes(2))
    }
    [void] $Stopped.Add($service.ServiceName)
}

function Start-ByName([string] $Name) {
    $service = Find-ByName $Name
    if (-not $service) { Write-Warning "$Name does not exist here."; return }
    if ($service.Status -eq 'Running') { Write-Host "  $Name runs."; return }
    $service.Start()
    $service.WaitForStatus('Running', [TimeSpan]::FromMinutes(2))
}

# Whatever happens in between: what ran before runs afterwards.
function Start-Stopped {
    for ($index = $Stopped.Count - 1; $index -ge 0; $index--) {
        try { Start-ByName $Stopped[$index] } catch { Write-Warning "$($Stopped[$index]) did not start: $_" }
    }
}

function Read-Value([string] $Key, [string] $Name) {
    [Microsoft.Win32.Registry]::GetValue($Key, $Name, $null)
}

# The key as it was before the first run, beside this file.
function Save-Key([string] $Key, [int] $Number) {
    $file = Join-Path $Here "portreeve-before-$Number.reg"
    if (Test-Path -LiteralPath $file) { return }
    & $Reg export $Key $file | Out-Null
    if ($LASTEXITCODE -ne 0) { Write-Host "  $Key is not there yet." }
}

function Join-Ranges([string] $Name, [string[]] $Lines) {
    $ports = New-Object 'bool[]' 65537
    foreach ($line in $Lines) {
        if ($line -notmatch '^\s*(\d{1,5})\s*(-\s*(\d{1,5})\s*)?$') { throw "$Name holds a line that is no range: $line" }
        $first = [int] $Matches[1]
        $last = $first
        if ($Matches[3]) { $last = [int] $Matches[3] }
        if ($last -gt 65535 -or $first -gt $last) { throw "$Name holds a line that is no range: $line" }
        for ($port = $first; $port -le $last; $port++) { $ports[$port] = $true }
    }
    $first = -1
    for ($port = 0; $port -le 65536; $port++) {
        if ($ports[$port] -and $first -lt 0) { $first = $port }
        if (-not $ports[$port] -and $first -ge 0) { "$first-$($port - 1)"; $first = -1 }
    }
}

function Add-Ranges([string] $Key, [string] $Name, [string[]] $Ranges) {
    $before = @(Read-Value $Key $Name | Where-Object { $_ })
    $after = @(Join-Ranges $Name ($before + $Ranges))
    if (($before -join ' ') -eq ($after -join ' ')) { Write-Host "  $Name holds them."; return }
    [Microsoft.Win32.Registry]::SetValue($Key, $Name, [string[]] $after, 'MultiString')
}

function Set-Ranges([string] $Key, [string] $Name, [string[]] $Ranges) {
    if ($Ranges) { [Microsoft.Win32.Registry]::SetValue($Key, $Name, $Ranges, 'MultiString') } else { Remove-Value $Key $Name }
}

function Set-Value([string] $Key, [string] $Name, $Data, [string] $Kind, [string] $Was, $Former) {
    $before = Read-Value $Key $Name
    if ($null -ne $before -and "$before" -eq "$Data") { Write-Host "  $Name is set."; return }
    $changed = ($Was -eq 'absent' -and $null -ne $before) -or ($Was -eq 'known' -and "$before" -ne "$Former")
    if ($changed) { throw "$Name is not what it was in the last report. Wait for the next one and download the plan anew." }
    [Microsoft.Win32.Registry]::SetValue($Key, $Name, $Data, $Kind)
}

function Remove-Value([string] $Key, [string] $Name) {
    if ($null -ne (Read-Value $Key $Name)) { Remove-ItemProperty -LiteralPath "Registry::$Key" -Name $Name }
}

function Test-Exclusion([string] $Family, [string] $Protocol, [int] $First, [int] $Last) {
    foreach ($line in @(& $Netsh int $Family show excludedportrange "protocol=$Protocol" store=persistent)) {
        if ($line -match '^\s*(\d+)\s+(\d+)\s*\*?\s*$' -and [int] $Matches[1] -le $First -and [int] $Matches[2] -ge $Last) {
            return $true
        }
    }
    $false
}

function Add-Exclusion([string] $Family, [string] $Protocol, [int] $First, [int] $Last) {
    if (Test-Exclusion $Family $Protocol $First $Last) { Write-Host '  It is excluded.'; return }
    $count = $Last - $First + 1
    $answer = & $Netsh int $Family add excludedportrange "protocol=$Protocol" "startport=$First" "numberofports=$count" store=persistent
    if (-not (Test-Exclusion $Family $Protocol $First $Last)) { throw "netsh excluded nothing: $answer" }
}

function Remove-Exclusion([string] $Family, [string] $Protocol, [int] $First, [int] $Last) {
    if (-not (Test-Exclusion $Family $Protocol $First $Last)) { Write-Host '  It is not excluded.'; return }
    $count = $Last - $First + 1
    $answer = & $Netsh int $Family delete excludedportrange "protocol=$Protocol" "startport=$First" "numberofports=$count" store=persistent
    if (Test-Exclusion $Family $Protocol $First $Last) { throw "netsh still excludes it: $answer" }
}

function Set-DynamicRange([string] $Family, [string] $Protocol, [int] $First, [int] $Count) {
    $answer = & $Netsh int $Family set dynamicport $Protocol "start=$First" "num=$Count"
    if ($LASTEXITCODE -ne 0) { throw "netsh did not move the range: $answer" }
}

# 3010: done, and counts from the next restart. 2359303: it is not installed.
function Remove-Update([string] $Program, [string] $Arguments) {
    $process = Start-Process -FilePath $Program -ArgumentList $Arguments -Wait -PassThru
    if (0, 3010, 2359303 -notcontains $process.ExitCode) { throw "$Program ended with $($process.ExitCode)." }
}

Write-Host 'Nothing is to be done by this script.'
