using System.Globalization;

namespace OrleansMq.Silo.Hosting;

/// <summary>
/// How the files that this process may open are shared, since a connection is one too. Each listener refuses connections above its share:
/// a process that can open no file can neither write its data nor its log, and the runtime ends it.
/// </summary>
/// <param name="Data">Segment and index files that are kept open.</param>
/// <param name="Http">Connections of the HTTP API.</param>
/// <param name="Kafka">Connections of the Kafka protocol.</param>
/// <param name="Amqp">Connections of AMQP.</param>
internal sealed record OpenFiles(int Data, int Http, int Kafka, int Amqp = 0)
{
    /// <summary>The least limit with which a broker starts.</summary>
    public const int Least = 512;

    // The runtime, libraries, listeners, links to other brokers, and files that are open for a moment: a broker at rest has about 150.
    private const int Reserve = 256;
    // A connection of the HTTP API takes more memory than one of the Kafka protocol, and few clients need as many.
    private const int MostHttp = 10_000;

    /// <summary>Shares out a limit.</summary>
    /// <param name="limit">The files that this process may open.</param>
    /// <param name="maxOpenFiles">The segment and index files that are wanted.</param>
    /// <param name="servesKafka">Whether Kafka clients are served, which takes a share.</param>
    /// <param name="maxHttp">The connections of the HTTP API that are wanted; 0 for the usual share. The other protocols keep a
    /// quarter.</param>
    /// <param name="servesAmqp">Whether AMQP clients are served. They and Kafka clients have equal shares.</param>
    public static OpenFiles Share(long limit, int maxOpenFiles, bool servesKafka = true, int maxHttp = 0, bool servesAmqp = false)
    {
        var rest = Math.Max(limit, Least) - Reserve;
        var data = (int)Math.Min(maxOpenFiles, rest / 2);
        var connections = rest - data;
        var kept = !servesKafka && !servesAmqp ? 0 : connections / 4 * (maxHttp > 0 ? 1 : 3);
        var http = (int)Math.Min(connections - kept, maxHttp > 0 ? maxHttp : MostHttp);
        var others = (int)Math.Min(connections - http, int.MaxValue);
        var amqp = !servesAmqp ? 0 : servesKafka ? others / 2 : others;
        return new OpenFiles(data, http, servesKafka ? others - amqp : 0, amqp);
    }

    /// <summary>Returns how many files this process may open; a large number where the system does not say.</summary>
    public static long FindLimit() => OperatingSystem.IsLinux() ? Parse(File.ReadAllText("/proc/self/limits")) : int.MaxValue;

    /// <summary>Finds the limit in what Linux says about a process, the one in force first: <c>Max open files 1024 4096
    /// files</c>.</summary>
    public static long Parse(string limits)
    {
        const string name = "Max open files";
        var line = limits.Split('\n').FirstOrDefault(static line => line.StartsWith(name, StringComparison.Ordinal));
        var value = line?[name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : int.MaxValue;
    }
}
