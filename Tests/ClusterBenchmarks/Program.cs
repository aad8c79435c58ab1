using OrleansMq.Tests.Benchmarks;

namespace OrleansMq.Tests.ClusterBenchmarks;

internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        switch (args.FirstOrDefault())
        {
            case "catch-up":
                return await CatchUpTime.RunAsync(new CommandArguments(args[1..]));
            case "client-path":
                return await ClientPath.RunAsync(new CommandArguments(args[1..]));
            case "commits":
                return await CommitThroughput.RunAsync(new CommandArguments(args[1..]));
            case "coordinators":
                return await CoordinatorFailoverTime.RunAsync(new CommandArguments(args[1..]));
            case "failover":
                return await LeaderlessTime.KillAsync(new CommandArguments(args[1..]));
            case "grains":
                return await GrainThroughput.RunAsync(new CommandArguments(args[1..]));
            case "handover":
                return await LeaderlessTime.StopAsync(new CommandArguments(args[1..]));
            case "many-topics":
                return await ManyTopics.RunAsync(new CommandArguments(args[1..]));
            case "placement":
                return await GrainPlacement.RunAsync(new CommandArguments(args[1..]));
            case "replication":
                return await ReplicationThroughput.RunAsync(new CommandArguments(args[1..]));
            case "timers":
                return await TimerThroughput.RunAsync(new CommandArguments(args[1..]));
            default:
                Console.WriteLine("""
                    Benchmarks of a cluster of three broker processes and a private PostgreSQL on this machine. Run one with:
                    dotnet run -c Release --project Tests/ClusterBenchmarks -- ...
                      replication  throughput and latency at replication factor 1 and 3, acks=1 and acks=all,
                                   over HTTP and an Orleans client
                                   [--rounds 3] [--records 500000] [--size 100] [--partitions 4] [--rate 500] [--seconds 10]
                                   [--dir artifacts]
                      catch-up     how fast an empty replica catches up, alone and beside live traffic,
                                   and the latency of that traffic before, during and after
                                   [--rounds 2] [--megabytes 1024] [--rate 2000] [--seconds 10] [--share 0: the default, else 1 to 100]
                                   [--sync 0, 1: flushed before it is acknowledged] [--dir artifacts]
                      client-path  batches through an Orleans client beside the same batches over the Kafka protocol, alternating
                                   [--silos 3] [--pairs 5] [--mb 256] [--batch 65536] [--partitions 6] [--in-flight 4]
                                   [--replication-factor 1] [--dir artifacts]
                      commits      offset commits a second of one group and of many, over an Orleans client
                                   [--groups 1000] [--workers 64] [--partitions 12] [--seconds 10] [--dir artifacts]
                      coordinators how long a group's members get no answer after a kill of their coordinator's silo,
                                   or a producer until its next transaction is committed
                                   [--transactions] [--kills 10] [--settle 3: seconds after a restart] [--dir artifacts]
                      failover     how long a partition has no leader after a kill of its silo, idle and loaded
                                   [--kills 20] [--rate 2000, 0: idle only] [--partitions 12] [--dir artifacts]
                      grains       events into grains that consume a topic, observe a stream, observe a memory stream, or are called;
                                   one silo in this process, which also sends, or as many as there are replicas
                                   [--replicas 1] [--flush 0, 1: before it is acknowledged]
                                   [--events 200000] [--memory-events 10000] [--keys 1,1000,0: a grain for each event]
                                   [--ways consumers,streams,memory,calls] [--together 1] [--senders 64] [--partitions 4]
                                   [--rounds 3] [--dir artifacts]
                      handover     the same as failover after a clean stop
                                   [--stops 20] [--rate 2000, 0: idle only] [--partitions 12] [--dir artifacts]
                      many-topics  how long many topics take to create and delete, what they cost when idle,
                                   and how long a restart of all brokers takes with them
                                   [--topics 1000] [--partitions 10] [--at-a-time 8] [--idle 10] [--delete 1] [--dir artifacts]
                      placement    records into grains near their partition's leader, placed at random, and without preference for leaders;
                                   three silos in this process, which reach each other through proxies with a delay in milliseconds
                                   [--delays 0,1] [--grains 60] [--records 100: for each grain, one at a time] [--partitions 6]
                                   [--replicas 3]
                                   [--rounds 3] [--dir artifacts]
                      timers       memory of durable timers that wait, and how late those due within some seconds are handled by grains;
                                   one silo in this process
                                   [--waiting 1000000] [--due 20000] [--over 1] [--grains 2000] [--in-flight 1000]
                                   [--rounds 3] [--dir artifacts]
                    """);
                return args is ["--help" or "-h" or "help"] ? 0 : 2;
        }
    }
}
