using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Launcher;

/// <summary>The launcher and the test runner in a repository without sources, over a scripted <c>dotnet</c>: their decisions are visible
/// without a build.</summary>
internal sealed class FakeRepository : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public FakeRepository()
    {
        foreach (var folder in (string[])["Client", "Grains", "Grains.Interfaces", "Silo", "deploy/postgres", "Tests", "bin"])
            Directory.CreateDirectory(_directory[folder]);
        foreach (var file in (string[])["omq", "Tests/run", "Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props",
            ".editorconfig"])
            File.Copy(Path.Combine(Repository.Root, file), _directory[file]);
        foreach (var list in (string[])["Tests/expected-skips.txt", "Tests/expected-not-run-without-orleans.txt"])
            File.WriteAllText(_directory[list], "");
        Dotnet("""
            case $1 in
                --list-sdks) echo '10.0.100 [/sdk]' ;;
                restore) ;;
                build) ;;
                *) cat && echo "ran $(basename "$1") ${*:2}" ;;
            esac
            """);
    }

    public string this[string path] => _directory[path];

    /// <summary>The calls of the fake, one line each.</summary>
    public string[] Calls => File.Exists(_directory["calls"]) ? File.ReadAllLines(_directory["calls"]) : [];

    public int Count(string command) => Calls.Count(call => call.StartsWith(command, StringComparison.Ordinal));

    /// <summary>Writes the fake: a script that logs its arguments, creates both programs' files on <c>build</c>, and then runs
    /// <paramref name="script"/>.</summary>
    public void Dotnet(string script)
    {
        File.WriteAllText(_directory["bin/dotnet"], $$"""
            #!/usr/bin/env bash
            root='{{_directory.FullName}}'
            echo "$*" >>"$root/calls"
            if [[ $1 == build ]]; then
                flavour=standalone; [[ " $* " == *' -p:Orleans=true '* ]] && flavour=cluster
                mkdir -p "$root/artifacts/$flavour/bin/"{OrleansMq.Silo,OrleansMq.Cli}/release
                touch "$root/artifacts/$flavour/bin/OrleansMq.Silo/release/OrleansMq.Silo.dll" \
                    "$root/artifacts/$flavour/bin/OrleansMq.Cli/release/omq.dll"
            fi
            {{script}}
            """);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(_directory["bin/dotnet"], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>Runs the launcher with the fake first in the path, and without a forced flavour unless given.</summary>
    public async Task<Outcome> OmqAsync(string arguments, string? orleans = null, bool closesInput = false)
    {
        var environment = new Dictionary<string, string?>
        {
            ["PATH"] = _directory["bin"] + Path.PathSeparator + Environment.GetEnvironmentVariable("PATH"),
            ["OMQ_ORLEANS"] = orleans,
        };
        await using var program = closesInput
            ? new RunningProgram("bash", ["-c", $"exec \"$0\" {arguments} <&-", _directory["omq"]], environment: environment)
            : new RunningProgram(_directory["omq"], arguments.Split(' '), environment: environment);
        return await program.ExitAsync();
    }

    public void Dispose() => _directory.Dispose();
}
