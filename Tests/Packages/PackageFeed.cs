using System.Text.RegularExpressions;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Packages;

/// <summary>
/// The packages of this build in a folder of their own, and an empty directory beside it in which projects restore them. Other packages
/// come from where this machine gets them. The user's own package folder is read and not written.
/// </summary>
public sealed partial class PackageFeed : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Dictionary<string, string?> _environment = [];

    /// <summary>The folder with the packages.</summary>
    public string Folder => _directory["packages"];

    /// <summary>The version of the packages.</summary>
    public string Version { get; private set; } = "";

    /// <summary>Packs what was built, in the configuration and flavour of these tests.</summary>
    public async Task InitializeAsync()
    {
        Directory.CreateDirectory(Folder);
        // artifacts/FLAVOUR/bin/PROJECT/CONFIGURATION
        var configuration = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Name;
        (await RunAsync("dotnet", ["pack", Path.Combine(Repository.Root, "OrleansMq.sln"), "--no-build", "-c", configuration,
            $"-p:Orleans={Repository.OrleansSwitch}", "-o", Folder, "-nologo", "-v:quiet", "-nodeReuse:false"])).Expect(0);
        Version = PackageVersion().Match(Directory.GetFiles(Folder, "OrleansMq.Client.*.nupkg").Select(Path.GetFileName)
            .Single(static name => PackageVersion().IsMatch(name!))!).Groups[1].Value;
        _environment["NUGET_PACKAGES"] = _directory["restored"];
        _environment["NUGET_FALLBACK_PACKAGES"] = await UsersPackageFolderAsync();
        await File.WriteAllTextAsync(_directory["nuget.config"], await ConfigurationAsync());
    }

    public Task DisposeAsync()
    {
        _directory.Dispose();
        return Task.CompletedTask;
    }

    /// <summary>A path in the directory in which projects are made.</summary>
    public string this[string name] => _directory[name];

    /// <summary>Runs a program there.</summary>
    internal async Task<Outcome> RunAsync(string program, IEnumerable<string> arguments, string? directory = null)
    {
        await using var running = Start(program, arguments, directory);
        return await running.ExitAsync(TimeSpan.FromMinutes(5));
    }

    /// <summary>Starts a program there.</summary>
    internal RunningProgram Start(string program, IEnumerable<string> arguments, string? directory = null) =>
        new(program, arguments, directory ?? _directory.FullName, environment: _environment);

    /// <summary>Installs a tool; returns the path of its command.</summary>
    internal async Task<string> InstallToolAsync(string package, string command)
    {
        if (!File.Exists(Path.Combine(_directory["tools"], command)))
            (await RunAsync("dotnet", ["tool", "install", package, "--version", Version, "--tool-path",
                _directory["tools"]])).Expect(0);
        return Path.Combine(_directory["tools"], command);
    }

    /// <summary>Makes a project from a template, and builds it; returns the path of its program.</summary>
    /// <param name="template">The template's short name.</param>
    /// <param name="name">The project's name.</param>
    /// <param name="change">Changes its program.</param>
    /// <param name="packages">Further packages that it references.</param>
    internal async Task<string> CreateAsync(string template, string name, Func<string, string> change, params string[] packages)
    {
        var hive = _directory["templates"];
        if (!Directory.Exists(hive))
            (await RunAsync("dotnet", ["new", "install", Path.Combine(Folder, $"OrleansMq.Templates.{Version}.nupkg"),
                "--debug:custom-hive", hive])).Expect(0);
        (await RunAsync("dotnet", ["new", template, "-o", name, "--debug:custom-hive", hive])).Expect(0);
        var program = Path.Combine(_directory[name], "Program.cs");
        await File.WriteAllTextAsync(program, change(await File.ReadAllTextAsync(program)));
        var project = Path.Combine(_directory[name], $"{name}.csproj");
        await File.WriteAllTextAsync(project, (await File.ReadAllTextAsync(project)).Replace("</ItemGroup>", string.Concat(packages.Select(
            package => $"""<PackageReference Include="{package}" Version="{Version}" />""")) + "</ItemGroup>", StringComparison.Ordinal));
        (await RunAsync("dotnet", ["build", name, "-o", Path.Combine(name, "out"), "-nologo", "-v:quiet", "-nodeReuse:false"])).Expect(0);
        return Path.Combine(_directory[name], "out", $"{name}.dll");
    }

    private async Task<string> UsersPackageFolderAsync()
    {
        // "global-packages: /home/me/.nuget/packages/"
        var locals = (await RunAsync("dotnet", ["nuget", "locals", "global-packages", "--list"])).Expect(0).Text;
        return locals[(locals.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }

    // The packages under test come from the folder alone, all others from the sources that this machine names.
    private async Task<string> ConfigurationAsync()
    {
        var sources = (await RunAsync("dotnet", ["nuget", "list", "source", "--format", "Detailed"])).Expect(0).Lines
            .Select(static line => EnabledSource().Match(line)).Where(static match => match.Success)
            .Select(static match => match.Groups[1].Value);
        return $"""
            <configuration>
              <packageSources><add key="packages-under-test" value="{Folder}" /></packageSources>
              <packageSourceMapping>
                <packageSource key="packages-under-test"><package pattern="OrleansMq.*" /></packageSource>
                {string.Concat(sources.Select(static name => $"""<packageSource key="{name}"><package pattern="*" /></packageSource>"""))}
              </packageSourceMapping>
            </configuration>
            """;
    }

    [GeneratedRegex(@"^OrleansMq\.Client\.(\d.*)\.nupkg$")]
    private static partial Regex PackageVersion();

    [GeneratedRegex(@"^\s*\d+\.\s+(.+) \[Enabled\]$")]
    private static partial Regex EnabledSource();
}

/// <summary>The tests share the packages, and run one after the other.</summary>
[CollectionDefinition(Name)]
public sealed class PackageFeedCollection : ICollectionFixture<PackageFeed>
{
    public const string Name = "packages";
}
