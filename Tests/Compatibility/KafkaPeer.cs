using System.Diagnostics;
using System.Text;

namespace OrleansMq.Tests.Compatibility;

/// <summary>
/// Kafka as published: its jars in the folder <c>kafka</c> of <c>OMQ_PEERS</c>, and a Java 17 development kit on the path. Where either is
/// missing, the test is skipped and says which.
/// </summary>
internal static class KafkaPeer
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    /// <summary>Runs a main class (or a source file) with Kafka's jars, and returns what it wrote.</summary>
    public static async Task<PeerOutput> RunAsync(string main, params string[] arguments)
    {
        var jars = Require();
        var start = new ProcessStartInfo("java")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        // A short life on a machine that has other things to do.
        string[] machine = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp",
            Path.Combine(jars, "*")];
        foreach (var argument in machine.Append(main).Concat(arguments))
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            var error = process.StandardError.ReadToEndAsync(deadline.Token);
            await process.WaitForExitAsync(deadline.Token);
            Assert.True(process.ExitCode == 0, $"{main} exited with {process.ExitCode}:\n{await error}\n{await output}");
            return new PeerOutput(await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{main} did not end within {Deadline}.");
        }
    }

    private static string Require()
    {
        var peers = Environment.GetEnvironmentVariable("OMQ_PEERS");
        Skip.If(string.IsNullOrEmpty(peers), "OMQ_PEERS does not name a folder with real peers.");
        var jars = Path.Combine(peers!, "kafka");
        Skip.IfNot(Directory.Exists(jars), $"There is no Kafka in {jars}.");
        var paths = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        Skip.IfNot(paths.Any(path => File.Exists(Path.Combine(path, "java")) || File.Exists(Path.Combine(path, "java.exe"))),
            "There is no java on the path.");
        return jars;
    }
}

/// <summary>What a program wrote.</summary>
/// <param name="Text">To standard output.</param>
/// <param name="Errors">To standard error, where Java's tools also put complaints, and exit with 0.</param>
internal sealed record PeerOutput(string Text, string Errors);
