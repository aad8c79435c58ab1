using System.Globalization;
using System.Text.RegularExpressions;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>The script <c>peer</c> in the folder named by the environment variable <c>OMQ_PEERS</c>: it starts, stops and loads the real
/// peers.</summary>
internal static partial class PeerScript
{
    /// <summary>The folder; null if it is not set.</summary>
    public static string? Folder { get; } = Environment.GetEnvironmentVariable("OMQ_PEERS") is { Length: > 0 } folder ? folder : null;

    /// <summary>Why no peer can be started; null if peers are available.</summary>
    public static string? Lacks => Folder is null ? "OMQ_PEERS does not name the folder with the real peers"
        : File.Exists(Script) ? null : $"the script 'peer' is missing in OMQ_PEERS ({Folder})";

    private static string Script => Path.GetFullPath(Path.Combine(Folder!, "peer"));

    /// <summary>Starts a peer: <c>peer start NAME DIR ...</c>.</summary>
    public static async Task<RunningBroker> StartAsync(string name, string directory, IEnumerable<string> more,
        CancellationToken cancellationToken,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        try
        {
            var output = await ChildProcess.RunAsync([Script, "start", name, directory, .. more], cancellationToken, environment);
            var ready = ReadyLine().Match(output.Text);
            if (!ready.Success)
                throw new PeerFailedException($"peer start {name} printed: {output.Text} {output.Errors}");
            return new Peer
            {
                Endpoint = ready.Groups["endpoint"].Value,
                Processes = [.. ready.Groups["pids"].Value.Split(',').Select(pid => int.Parse(pid, CultureInfo.InvariantCulture))],
                Companions = Companions(directory, ready.Groups["pids"].Value),
                StartTime = TimeSpan.FromMilliseconds(int.Parse(ready.Groups["ms"].Value, CultureInfo.InvariantCulture)),
                Directory = directory,
            };
        }
        catch
        {
            await StopAsync(directory);
            throw;
        }
    }

    /// <summary>Returns the words that run a tool: <c>peer kafka-tool CLASS ...</c>.</summary>
    public static IReadOnlyList<string> Words(params IEnumerable<string> arguments) => [Script, .. arguments];

    // Processes in the directory besides the broker, such as a name server.
    private static int[] Companions(string directory, string pids) =>
        [.. File.ReadAllLines(Path.Combine(directory, "pids")).Where(line => line.Length > 0).Except(pids.Split(','))
            .Select(pid => int.Parse(pid, CultureInfo.InvariantCulture))];

    private static Task StopAsync(string directory) => ChildProcess.RunAsync(Words("stop", directory), CancellationToken.None);

    [GeneratedRegex(@"^ready \S+ pid=(?<pids>[\d,]+) endpoint=(?<endpoint>\S+) ms=(?<ms>\d+)", RegexOptions.Multiline)]
    private static partial Regex ReadyLine();

    private sealed class Peer : RunningBroker
    {
        public override async ValueTask DisposeAsync() => await StopAsync(Directory);
    }
}
