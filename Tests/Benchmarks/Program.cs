using BenchmarkDotNet.Running;
using OrleansMq.Tests.Benchmarks.Amqp;
using OrleansMq.Tests.Benchmarks.Baselines;
using OrleansMq.Tests.Benchmarks.Hostile;
using OrleansMq.Tests.Benchmarks.Peers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.SendPaths;

namespace OrleansMq.Tests.Benchmarks;

internal static class Program
{
    private const string Usage = """
        Benchmarks of OrleansMq. Run one with: dotnet run -c Release --project Tests/Benchmarks -- ...
          --filter '*'       all BenchmarkDotNet benchmarks, in a few minutes; '*Crc*' for some; --job medium for more precise figures
          baseline           runs them and reports which got worse than Baselines/baseline.json by more than the noise.
                             To compare with another revision: Tests/Benchmarks/worse
                             [--rounds 3] [--filter PART] [--file FILE] [--write] [--against OTHER/OrleansMq.Tests.Benchmarks.dll]
          amqp-backlog       what a backlog of persistent messages in a quorum queue costs a broker for AMQP 0-9-1: memory, start, and the
                             rate at which it is drained; 12 GB of disk
                             [--messages 10000000] [--few 500000] [--rounds 3] [--size 1000, at most 4000] [--beside, for RabbitMQ, too]
                             [--broker OrleansMq.Silo.dll] [--cluster DIRECTORY] [--dir artifacts]
          amqp-scale         what many durable queues, bindings and idle connections cost a broker for AMQP 0-9-1
                             [--queues 10000] [--bindings 100000] [--connections 10000] [--declarers 8] [--messages 500000]
                             [--type quorum|classic] [--only queues-one|queues-many|bindings|connections] [--nodes 1|3]
                             [--beside, for RabbitMQ, too] [--broker OrleansMq.Silo.dll] [--cluster DIRECTORY] [--dir artifacts]
          append-ceiling     the in-process append path beside a raw sequential write of the same bytes
                             [--pairs 7] [--mb 512] [--batch 65536] [--in-flight 16] [--flush none|sync] [--dir artifacts]
          beside-transactions  records a second of a producer without transactions in partitions that never had one, that had those of many
                             producers, and that have an open one, too; in turns; some GB of disk
                             [--rounds 5] [--records 2000000] [--size 100] [--partitions 4] [--producers 100]
                             [--broker OrleansMq.Silo.dll] [--dir artifacts]
          client-throughput  records a second through the client library over a broker in this process
                             [--rounds 5] [--records 2000000] [--size 100] [--partitions 4] [--dir artifacts]
          consumer           records a second and a processor-second through a consumer in a group, beside the raw read path,
                             and the time from join to first record
                             [--rounds 3] [--records 2000000] [--size 100] [--partitions 4] [--joins 30] [--dir artifacts]
          cursors            records a second through a queue's cursor alone, bytes of log for each, and its failover
                             [--rounds 3] [--records 1000000]
          groups             commits a second in one group and over many, and the time of a rebalance, over the standalone broker's store
                             [--rounds 3] [--seconds 5, 0: no commits] [--groups 1000] [--members 100] [--partitions 1000] [--dir artifacts]
          hostile            the latency of a producer beside hostile clients of several kinds, and the broker's memory
                             [--seconds 15] [--rate 2000] [--connections 10000] [--broker OrleansMq.Silo.dll] [--dir artifacts]
          queues             records a second through a queue of one partition: published, received, completed; by one consumer in order,
                             by 100 in random order, and by the client library
                             [--rounds 3] [--records 1000000] [--size 100] [--only PART of a line's name] [--dir artifacts]
          queue-backlog      how long a broker with many waiting messages needs to the first delivery, and its memory, beside one with few
                             [--messages 100000000] [--rounds 3] [--dir artifacts]
          routing            how long a message takes through the exchanges of a large virtual host, and a bind
                             [--queues 10000] [--bindings 100000] [--messages 1000000] [--rounds 3]
          schedules          bytes of memory of a timer, records scheduled a second, and when those due in one second are in their topic
                             [--timers 10000000] [--waiting 200000] [--due 50000] [--rounds 3] [--partitions 4] [--in-flight 1000]
                             [--dir artifacts]
          peers              OrleansMq compared with Apache Kafka and others, alternating: tables and JSON; see peers --help
          load               a load generator of very low cost for any broker that speaks Kafka's protocol; see load --help
          load amqp          the same over AMQP 0-9-1; see load amqp --help
          sendfile           the cost of sending a file from the page cache: through Kestrel, through a plain socket, with sendfile(2)
                             [--pairs 5] [--mb 1024] [--dir artifacts]
          test-broker        how long a test waits for the broker inside its process, with a Kafka endpoint: the first start and later ones
                             [--processes 7] [--starts 10]
        """;

    // The arguments with which these commands start themselves.
    private const string ForItself = " --measure --once";

    // The commands whose options the usage lists.
    private static readonly string[] Described = ["baseline", "amqp-backlog", "amqp-scale", "append-ceiling", "beside-transactions",
        "client-throughput", "consumer", "cursors", "groups", "hostile", "queues", "queue-backlog", "routing", "schedules", "sendfile",
        "test-broker"];

    private static async Task<int> Main(string[] args)
    {
        try
        {
            return await RunAsync(args);
        }
        catch (FormatException wrong)
        {
            Console.Error.WriteLine(wrong.Message);
            return 2;
        }
    }

    private static async Task<int> RunAsync(string[] args)
    {
        if (args is [var command, .. var options] && Described.Contains(command))
        {
            if (options.Any(option => option is "--help" or "-h"))
            {
                Console.WriteLine(Usage);
                return 0;
            }
            new CommandArguments(options).RefuseOthersThan(Usage + ForItself);
        }
        switch (args.FirstOrDefault())
        {
            case "baseline":
                return BaselineCommand.Run(new CommandArguments(args[1..]));
            case "amqp-backlog":
                return await AmqpBacklogCommand.RunAsync(new CommandArguments(args[1..]));
            case "amqp-scale":
                return await AmqpScaleCommand.RunAsync(new CommandArguments(args[1..]));
            case "append-ceiling":
                return await AppendCeiling.RunAsync(new CommandArguments(args[1..]));
            case "beside-transactions":
                return await BesideTransactions.RunAsync(new CommandArguments(args[1..]));
            case "client-throughput":
                return await ClientThroughput.RunAsync(new CommandArguments(args[1..]));
            case "consumer":
                return await ConsumerThroughput.RunAsync(new CommandArguments(args[1..]));
            case "cursors":
                return CursorBenchmarks.Run(new CommandArguments(args[1..]));
            case "routing":
                return RoutingBenchmarks.Run(new CommandArguments(args[1..]));
            case "groups":
                return await GroupBenchmarks.RunAsync(new CommandArguments(args[1..]));
            case "hostile":
                return await HostileCommand.RunAsync(new CommandArguments(args[1..]));
            case "queues":
                return await QueueThroughput.RunAsync(new CommandArguments(args[1..]));
            case "queue-backlog":
                return await QueueBacklog.RunAsync(new CommandArguments(args[1..]));
            case "schedules":
                return await ScheduleBenchmarks.RunAsync(new CommandArguments(args[1..]));
            case "peers":
                return await PeersCommand.RunAsync(args[1..]);
            case "load":
                return args is [_, "amqp", .. var amqp] ? AmqpLoadCommand.Run(amqp) : LoadCommand.Run(args[1..]);
            case "sendfile":
                return await SendPathBenchmark.RunAsync(new CommandArguments(args[1..]));
            case "sendfile-client":
                return SendPathBenchmark.RunClient(new CommandArguments(args[1..]));
            case "test-broker":
                return await TestBrokerStarts.RunAsync(new CommandArguments(args[1..]));
            case "--help" or "-h" or "help":
                Console.WriteLine(Usage);
                return 0;
            default:
                BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, new ShortConfig());
                return 0;
        }
    }
}
