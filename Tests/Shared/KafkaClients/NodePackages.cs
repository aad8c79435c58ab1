using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>Kafka clients for node, and the scripts that use them.</summary>
internal sealed class NodePackages : IDisposable
{
    // It takes a second or two where the registry is near.
    private static readonly TimeSpan InstallTime = TimeSpan.FromSeconds(60);

    private readonly string? _temporary;

    private NodePackages(string modules, string? temporary)
    {
        Environment = new Dictionary<string, string?> { ["NODE_PATH"] = modules };
        _temporary = temporary;
    }

    /// <summary>By what node finds the package.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; }

    /// <summary>The path of a script.</summary>
    public static string Script(string name) => Path.Combine(Folder(), name);

    /// <summary>Where @confluentinc/kafka-javascript is, if it is installed.</summary>
    public static string ConfluentFolder { get; } = FindConfluent();

    /// <summary>kafkajs, installed by npm into a temporary folder; the test is skipped where that cannot be.</summary>
    public static async Task<NodePackages> RequireKafkajsAsync()
    {
        ClientProgram.Require("node");
        var npm = ClientProgram.Require("npm");
        var folder = Directory.CreateTempSubdirectory("omq-kafkajs-").FullName;
        var packages = new NodePackages(Path.Combine(folder, "node_modules"), folder);
        if (await InstallAsync(npm, folder))
            return packages;
        packages.Dispose();
        Skip.If(true, "kafkajs cannot be installed from npm's registry here.");
        throw new UnreachableException();
    }

    /// <summary>@confluentinc/kafka-javascript, where it was installed before (it may have to be built); the test is skipped where it was
    /// not.</summary>
    public static NodePackages RequireConfluent()
    {
        ClientProgram.Require("node");
        var modules = Path.Combine(ConfluentFolder, "node_modules");
        Skip.IfNot(Directory.Exists(Path.Combine(modules, "@confluentinc", "kafka-javascript")),
            $"There is no @confluentinc/kafka-javascript in {ConfluentFolder}: run Tests/Kafka/Clients/Node/install-kafka-javascript.");
        return new NodePackages(modules, null);
    }

    public void Dispose()
    {
        if (_temporary is not null)
            Directory.Delete(_temporary, recursive: true);
    }

    private static async Task<bool> InstallAsync(string npm, string folder)
    {
        var start = new ProcessStartInfo(npm, ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "kafkajs@2.2.4"])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var deadline = new CancellationTokenSource(InstallTime);
        try
        {
            using var process = System.Diagnostics.Process.Start(start)!;
            try
            {
                var (output, error) = (process.StandardOutput.ReadToEndAsync(deadline.Token),
                    process.StandardError.ReadToEndAsync(deadline.Token));
                await process.WaitForExitAsync(deadline.Token);
                await Task.WhenAll(output, error);
                return process.ExitCode == 0;
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                await process.WaitForExitAsync(CancellationToken.None);
                return false;
            }
        }
        catch (Win32Exception)
        {
            return false;
        }
    }

    private static string FindConfluent()
    {
        if (System.Environment.GetEnvironmentVariable("OMQ_KAFKA_JAVASCRIPT") is { Length: > 0 } named)
            return named;
        var home = System.Environment.GetFolderPath(System.Environment.SpecialFolder.UserProfile);
        var cache = System.Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } given
            ? given : Path.Combine(home, ".cache");
        return Path.Combine(cache, "orleansmq", "kafka-javascript-1.10.1");
    }

    private static string Folder([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "..", "Kafka", "Clients", "Node"));
}
