using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>Kafka clients for node, and the scripts that use them.</summary>
internal sealed class NodePackages : IDisposable
{
    // An installation takes a second or two from a nearby registry.
    private static readonly TimeSpan InstallTime = TimeSpan.FromSeconds(60);

    private readonly string? _temporary;

    private NodePackages(string modules, string? temporary)
    {
        Environment = new Dictionary<string, string?> { ["NODE_PATH"] = modules };
        _temporary = temporary;
    }

    /// <summary>The environment by which node finds the package.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; }

    /// <summary>The path of a script.</summary>
    public static string Script(string name) => Path.Combine(Folder(), name);

    /// <summary>The folder of @confluentinc/kafka-javascript, if it is installed.</summary>
    public static string ConfluentFolder { get; } = FindConfluent();

    /// <summary>Installs kafkajs by npm into a temporary folder. Skips the test if that fails.</summary>
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

    /// <summary>Finds an installed @confluentinc/kafka-javascript, which may have to be built. Skips the test if there is none.</summary>
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
