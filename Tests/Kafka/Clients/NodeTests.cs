using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>kafkajs, from npm: a client in JavaScript that shares no code with others.</summary>
public sealed class NodeTests
{
    // It takes a second or two where the registry is near.
    private static readonly TimeSpan InstallTime = TimeSpan.FromSeconds(60);

    [SkippableFact]
    public async Task Kafkajs_finds_what_it_expects()
    {
        var node = ClientProgram.Require("node");
        var folder = Directory.CreateTempSubdirectory("omq-kafkajs-").FullName;
        try
        {
            Skip.IfNot(await InstallAsync(ClientProgram.Require("npm"), folder), "kafkajs cannot be installed from npm's registry here.");
            File.Copy(Path.Combine(Folder(), "kafkajs.js"), Path.Combine(folder, "kafkajs.js"));
            await using var server = await KafkaServer.StartAsync();
            Assert.EndsWith("as expected\n", await ClientProgram.RunAsync(node, [Path.Combine(folder, "kafkajs.js"), server.Address]), StringComparison.Ordinal);
            Assert.Empty(server.Log.Lines);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
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
            using var process = Process.Start(start)!;
            try
            {
                var (output, error) = (process.StandardOutput.ReadToEndAsync(deadline.Token), process.StandardError.ReadToEndAsync(deadline.Token));
                await process.WaitForExitAsync(deadline.Token);
                await Task.WhenAll(output, error);
                return process.ExitCode == 0;
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                return false;
            }
        }
        catch (Win32Exception)
        {
            return false;
        }
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "Node");
}
