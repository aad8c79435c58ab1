using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The parameters of a load.</summary>
internal sealed record LoadOptions
{
    public const string Usage = """
        load produce --bootstrap HOST:PORT --topic NAME [...]    sends the same pre-encoded record batch repeatedly
        load fetch   --bootstrap HOST:PORT --topic NAME [...]    reads without decoding records, from the first offset;
                                                                 starts over if --records exceeds the topic
          --partitions 1            partitions of the topic; produce creates it if it does not exist
          --replication-factor 1    for the creation, with --config NAME=VALUE,...
          --records 1000000         records counted; fetch: 0 reads each partition once
          --warm-records 0          records sent (or read) before the clock starts
          --connections 1           over all brokers, at least one to each leader
          --json FILE|-             the figures as JSON; - writes them to standard output instead of the line
          --pid PID,...             the broker's processes, for their processor time per million records
          --tls-ca FILE             connects with TLS; a PEM file of the authorities of the brokers' certificates
        produce only:
          --record-bytes 100        the size of a record's value
          --batch-bytes 16384       the maximum size of a batch of more than one record
          --request-partitions 1    partitions in a request, with a batch each
          --acks 1|all              when a request is answered
          --in-flight 5             unanswered requests on a connection
          --rate 0                  records a second, evenly spaced; latency counts from when each was due; 0: full speed
          --codec none              none, gzip, snappy, lz4, zstd
        fetch only:
          --fetch-bytes 52428800    the maximum size of an answer; --partition-bytes 1048576 of each partition
          --committed               reads only what was committed
        """;

    public required bool IsProduce { get; init; }
    public required string Bootstrap { get; init; }
    public required string Topic { get; init; }
    public int Partitions { get; init; } = 1;
    public short ReplicationFactor { get; init; } = 1;
    public IReadOnlyDictionary<string, string> TopicConfig { get; init; } = new Dictionary<string, string>();
    public long Records { get; init; } = 1_000_000;
    public long WarmRecords { get; init; }
    public int Connections { get; init; } = 1;
    public IReadOnlyList<int> BrokerProcesses { get; init; } = [];

    /// <summary>The trusted authorities of the brokers' certificates; null: connections without TLS.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    public int RecordBytes { get; init; } = 100;
    public int BatchBytes { get; init; } = 16 << 10;
    public int RequestPartitions { get; init; } = 1;

    /// <summary>The acks: 1, or -1 for all.</summary>
    public short Acks { get; init; } = 1;

    public int InFlight { get; init; } = 5;

    /// <summary>The rate in records a second; 0: no limit.</summary>
    public double Rate { get; init; }

    public CompressionType Codec { get; init; }
    public int FetchBytes { get; init; } = 50 << 20;
    public int PartitionBytes { get; init; } = 1 << 20;

    /// <summary>Whether only what was committed is read.</summary>
    public bool IsCommitted { get; init; }

    public static LoadOptions Parse(bool isProduce, CommandArguments arguments)
    {
        arguments.RefuseOthersThan(Usage);
        var defaults = new LoadOptions { IsProduce = isProduce, Bootstrap = arguments.Required("--bootstrap"),
            Topic = arguments.Required("--topic") };
        return defaults with
        {
            Partitions = arguments.Number("--partitions", defaults.Partitions),
            ReplicationFactor = (short)arguments.Number("--replication-factor", defaults.ReplicationFactor),
            TopicConfig = Pairs(arguments.Text("--config")),
            Records = arguments.Number("--records", (int)defaults.Records),
            WarmRecords = arguments.Number("--warm-records", 0),
            Connections = arguments.Number("--connections", defaults.Connections),
            BrokerProcesses = Processes(arguments),
            Authorities = TrustedBy(arguments),
            RecordBytes = arguments.Number("--record-bytes", defaults.RecordBytes),
            BatchBytes = arguments.Number("--batch-bytes", defaults.BatchBytes),
            RequestPartitions = arguments.Number("--request-partitions", defaults.RequestPartitions),
            Acks = arguments.Text("--acks") switch
            {
                null or "1" => 1,
                "all" or "-1" => -1,
                var other => throw new LoadFailedException($"--acks is '{other}'; it may be 1 or all."),
            },
            InFlight = arguments.Number("--in-flight", defaults.InFlight),
            Rate = arguments.Number("--rate", 0),
            Codec = Enum.TryParse<CompressionType>(arguments.Text("--codec") ?? "none", ignoreCase: true, out var codec)
                ? codec
                : throw new LoadFailedException($"--codec is '{arguments.Text("--codec")}'; it may be none, gzip, snappy, lz4 or zstd."),
            FetchBytes = arguments.Number("--fetch-bytes", defaults.FetchBytes),
            PartitionBytes = arguments.Number("--partition-bytes", defaults.PartitionBytes),
            IsCommitted = arguments.Has("--committed"),
        };
    }

    /// <summary>Returns the processes of <c>--pid</c>.</summary>
    public static IReadOnlyList<int> Processes(CommandArguments arguments) =>
        [.. (arguments.Text("--pid") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Select(pid => int.Parse(pid, CultureInfo.InvariantCulture))];

    /// <summary>Returns the authorities of <c>--tls-ca</c>; null without it.</summary>
    /// <exception cref="LoadFailedException">The file cannot be read, or holds no certificate.</exception>
    public static X509Certificate2Collection? TrustedBy(CommandArguments arguments)
    {
        if (arguments.Text("--tls-ca") is not { } file)
            return null;
        var authorities = new X509Certificate2Collection();
        try
        {
            authorities.ImportFromPemFile(file);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new LoadFailedException($"--tls-ca: '{file}' cannot be read: {unreadable.Message}");
        }
        return authorities.Count > 0 ? authorities
            : throw new LoadFailedException($"--tls-ca: '{file}' holds no certificate: take the PEM file of the authority.");
    }

    /// <summary>Returns the load with a share of its records, counted and warm-up.</summary>
    public LoadOptions Scaled(double share) => this with { Records = (long)(Records * share), WarmRecords = (long)(WarmRecords * share) };

    private static Dictionary<string, string> Pairs(string? text) =>
        (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries).ToDictionary(
            pair => pair.Split('=', 2)[0],
            pair => pair.Contains('=') ? pair.Split('=', 2)[1] : throw new LoadFailedException($"--config: '{pair}' is not NAME=VALUE."));
}
