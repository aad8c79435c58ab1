using System.Diagnostics;
using System.Text;

namespace OrleansMq.Tests.Compatibility;

/// <summary>Apache Kafka as published: its jars in the folder <c>kafka</c> of <c>OMQ_PEERS</c>, and a Java 17 development kit on the path.
/// If either is missing, the test is skipped with that reason.</summary>
internal static class KafkaPeer
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    /// <summary>Runs a main class (or a source file) with Kafka's jars and returns its output.</summary>
    public static async Task<PeerOutput> RunAsync(string main, params string[] arguments)
    {
        var jars = Require();
        var start = new ProcessStartInfo("java")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        // Options for short runs on a busy machine.
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

    /// <summary>Returns the script that starts and stops brokers, or skips the test if it is missing.</summary>
    public static string RequireScript()
    {
        var script = Path.Combine(Path.GetDirectoryName(Require())!, "peer");
        Skip.IfNot(File.Exists(script), $"There is no {script}.");
        return script;
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

/// <summary>The output of a program.</summary>
/// <param name="Text">Its standard output.</param>
/// <param name="Errors">Its standard error, where Java's tools also report problems while they exit with 0.</param>
internal sealed record PeerOutput(string Text, string Errors);
