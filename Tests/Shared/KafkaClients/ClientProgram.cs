using System.Diagnostics;
using System.Text;

namespace OrleansMq.Tests.Shared;

/// <summary>Runs third-party programs to completion.</summary>
internal static class ClientProgram
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(5);

    /// <summary>Returns the program's path, or skips the test if it is missing.</summary>
    public static string Require(string name)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        var path = folders.Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        Skip.If(path is null, $"There is no {name} on the path.");
        return path!;
    }

    /// <summary>Whether Java and the jars of Apache Kafka are there.</summary>
    public static bool HasKafka
    {
        get
        {
            try
            {
                RequireKafka();
                return true;
            }
            catch (SkipException)
            {
                return false;
            }
        }
    }

    /// <summary>Returns the jars of Apache Kafka, or skips the test if they are missing.</summary>
    public static string RequireKafka()
    {
        var peers = Environment.GetEnvironmentVariable("OMQ_PEERS");
        Skip.If(string.IsNullOrEmpty(peers), "OMQ_PEERS does not name a folder with real peers.");
        var jars = Path.Combine(peers!, "kafka");
        Skip.IfNot(Directory.Exists(jars), $"There is no Kafka in {jars}.");
        Require("java");
        return jars;
    }

    /// <summary>Runs one of Kafka's own tools.</summary>
    /// <param name="main">Its class.</param>
    /// <param name="arguments">Its flags.</param>
    /// <param name="input">Its standard input.</param>
    public static Task<string> JavaAsync(string main, string[] arguments, string input = "") =>
        RunAsync(Require("java"), Java(main, arguments), input);

    /// <summary>Returns the Java arguments that run one of Kafka's own tools.</summary>
    /// <param name="main">Its class.</param>
    /// <param name="arguments">Its flags.</param>
    public static string[] Java(string main, params string[] arguments) =>
        ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", Path.Combine(RequireKafka(), "*"), main, .. arguments];

    /// <summary>Runs a program that must succeed. Returns its standard output.</summary>
    /// <param name="program">Its path.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="input">Its standard input.</param>
    /// <param name="environment">Environment variables in addition to those of this process.</param>
    public static async Task<string> RunAsync(string program, string[] arguments, string input = "",
        IReadOnlyDictionary<string, string?>? environment = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
            start.Environment[name] = value;
        using var process = System.Diagnostics.Process.Start(start)!;
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            var error = process.StandardError.ReadToEndAsync(deadline.Token);
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            await process.WaitForExitAsync(deadline.Token);
            Assert.True(process.ExitCode == 0, $"{Path.GetFileName(program)} {string.Join(' ', arguments)} exited with "
                + $"{process.ExitCode}:\n{await error}\n{await output}");
            return await output;
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{Path.GetFileName(program)} {string.Join(' ', arguments)} did not end within {Deadline}.");
        }
    }
}
