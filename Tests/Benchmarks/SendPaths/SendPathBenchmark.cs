using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Benchmarks.SendPaths;

/// <summary>The cost for a server of sending a piece of a file from the page cache: through Kestrel from pooled memory, through a plain
/// socket from pooled memory, and with <c>sendfile(2)</c>, which brings no byte into the process. The client is another process, so that
/// the processor time is the server's alone. The paths alternate.</summary>
internal static class SendPathBenchmark
{
    private const long FileBytes = 256L << 20;

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        if (!OperatingSystem.IsLinux())
        {
            Console.WriteLine("sendfile(2) exists on Linux only; there is nothing to compare here.");
            return 0;
        }
        var rounds = arguments.Number("--pairs", 5);
        var bytes = (long)arguments.Number("--mb", 1024) << 20;
        var directory = arguments.Directory("sendfile");
        try
        {
            using var file = WriteFile(Path.Combine(directory, "batches"));
            SendPath[] paths =
            [
                new KestrelPath(file), new PooledSocketPath(file, verify: true), new PooledSocketPath(file, verify: false),
                new SendFilePath(file, verify: false),
                new SendFilePath(file, verify: true),
            ];
            foreach (var size in (int[])[64 << 10, 1 << 20])
                await CompareAsync(paths, size, bytes, rounds);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    /// <summary>The client process: requests pieces one after the other and discards them.</summary>
    public static int RunClient(CommandArguments arguments)
    {
        var (port, size, count) = (arguments.Number("--port", 0), arguments.Number("--size", 0), arguments.Number("--count", 0));
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPAddress.Loopback, port);
        var request = BitConverter.GetBytes(size);
        var buffer = new byte[256 << 10];
        for (var i = 0; i < count; i++)
        {
            socket.Send(request);
            for (var left = size; left > 0;)
            {
                var read = socket.Receive(buffer.AsSpan(0, Math.Min(left, buffer.Length)));
                if (read == 0)
                    return 1;
                left -= read;
            }
        }
        return 0;
    }

    private static async Task CompareAsync(SendPath[] paths, int size, long bytes, int rounds)
    {
        Console.WriteLine(
            $"\n{bytes >> 20} MiB a run in answers of {size >> 10} KiB, {rounds} rounds in turns; the first is not counted\n");
        var seen = paths.ToDictionary(path => path, _ => new List<(double Cpu, double Rate)>());
        for (var round = 0; round <= rounds; round++)
        {
            foreach (var path in paths)
            {
                var run = await RunAsync(path, size, (int)(bytes / size));
                if (round > 0)
                    seen[path].Add(run);
            }
        }
        Console.WriteLine("| way | CPU ms of the server a GB | lowest | against Kestrel, round by round | MB/s |\n|---|---|---|---|---|");
        var reference = seen[paths[0]];
        foreach (var path in paths)
        {
            var runs = seen[path];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {path.Name} | {Statistics.Median(runs.Select(run => run.Cpu)):F0} | {runs.Min(run => run.Cpu):F0} | "
                + $"{Statistics.Median(runs.Zip(reference, static (mine, other) => mine.Cpu / other.Cpu)):F2} | "
                + $"{Statistics.Median(runs.Select(run => run.Rate)):F0} |"));
        }
    }

    private static async Task<(double Cpu, double Rate)> RunAsync(SendPath path, int size, int count)
    {
        await using var server = await path.ListenAsync();
        var start = Stopwatch.GetTimestamp();
        var before = Environment.CpuUsage.TotalTime;
        using var client = Process.Start(new ProcessStartInfo(Environment.ProcessPath!,
            [Environment.GetCommandLineArgs()[0], "sendfile-client", "--port", $"{server.Port}", "--size", $"{size}", "--count",
                $"{count}"])
        { UseShellExecute = false })!;
        await client.WaitForExitAsync();
        if (client.ExitCode != 0)
            throw new InvalidOperationException($"The client of '{path.Name}' ended with {client.ExitCode}.");
        var gigabytes = (double)size * count / 1e9;
        return ((Environment.CpuUsage.TotalTime - before).TotalMilliseconds / gigabytes,
            gigabytes * 1e3 / Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private static Microsoft.Win32.SafeHandles.SafeFileHandle WriteFile(string path)
    {
        var handle = File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite);
        var block = new byte[1 << 20];
        new Random(1).NextBytes(block);
        for (var position = 0L; position < FileBytes; position += block.Length)
            RandomAccess.Write(handle, block, position);
        return handle;
    }
}
