using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The parameters of a load of transactions.</summary>
internal sealed record TransactionOptions
{
    public const string Usage = """
        load transactions --bootstrap HOST:PORT --topic NAME [...]    writes to some partitions and commits, again and again
          --partitions 100          partitions of the topic, which is created if it does not exist, all led by that broker
          --transaction-partitions 1  partitions that a transaction writes to, a batch each
          --producers 16            transactional ids, each with a connection and one transaction at a time
          --transactions 10000      transactions counted, of all producers; --warm-transactions 0 before the clock starts
          --transaction-version 2   2: partitions join with their first batch, as of Java's client of Kafka 4;
                                    1: they are added before, as of librdkafka
          --abort-every 0           every so many transactions one is aborted; 0: none
          --record-bytes 100        the size of a record's value; --batch-bytes 0 the maximum size of a batch of more than one record
          --pid PID,...             the broker's processes, for their processor time
          --tls-ca FILE             connects with TLS; a PEM file of the authorities of the broker's certificate
        """;

    public required string Bootstrap { get; init; }
    public required string Topic { get; init; }
    public int Partitions { get; init; } = 100;
    public int InTransaction { get; init; } = 1;
    public int Producers { get; init; } = 16;
    public int Transactions { get; init; } = 10_000;
    public int WarmTransactions { get; init; }
    public int Version { get; init; } = 2;
    public int AbortEvery { get; init; }
    public int RecordBytes { get; init; } = 100;
    public int BatchBytes { get; init; }
    public IReadOnlyList<int> BrokerProcesses { get; init; } = [];

    /// <summary>How long a transaction may be open before the broker aborts it.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The trusted authorities of the broker's certificate; null: connections without TLS.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    public static TransactionOptions Parse(CommandArguments arguments)
    {
        arguments.RefuseOthersThan(Usage);
        var defaults = new TransactionOptions { Bootstrap = arguments.Required("--bootstrap"), Topic = arguments.Required("--topic") };
        var version = arguments.Number("--transaction-version", defaults.Version);
        return version is not (1 or 2) ? throw new LoadFailedException($"--transaction-version is {version}; it may be 1 or 2.")
            : defaults with
            {
                Partitions = arguments.Number("--partitions", defaults.Partitions),
                InTransaction = arguments.Number("--transaction-partitions", defaults.InTransaction),
                Producers = arguments.Number("--producers", defaults.Producers),
                Transactions = arguments.Number("--transactions", defaults.Transactions),
                WarmTransactions = arguments.Number("--warm-transactions", 0),
                Version = version,
                AbortEvery = arguments.Number("--abort-every", 0),
                RecordBytes = arguments.Number("--record-bytes", defaults.RecordBytes),
                BatchBytes = arguments.Number("--batch-bytes", defaults.BatchBytes),
                BrokerProcesses = LoadOptions.Processes(arguments),
                Authorities = LoadOptions.TrustedBy(arguments),
            };
    }

    /// <summary>Returns the load with a share of its transactions, counted and warm-up.</summary>
    public TransactionOptions Scaled(double share) =>
        this with { Transactions = (int)(Transactions * share), WarmTransactions = (int)(WarmTransactions * share) };
}
