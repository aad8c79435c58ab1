using System.CommandLine;
using System.CommandLine.Help;
using OrleansMq.Cli.Amqp;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.Databases;
using OrleansMq.Cli.DeadLetters;
using OrleansMq.Cli.Groups;
using OrleansMq.Cli.Queues;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Schedules;
using OrleansMq.Cli.Security;
using OrleansMq.Cli.Segments;
using OrleansMq.Cli.Topics;
using OrleansMq.Cli.Transactions;

namespace OrleansMq.Cli.CommandLine;

/// <summary>The whole command line.</summary>
internal static class OmqCommandLine
{
    private static readonly string[] Examples =
    [
        "omq up --data ./data                          (a broker in the foreground; Ctrl-C ends it)",
        "omq topic create orders --partitions 3",
        "echo 'hello' | omq produce orders",
        "omq consume orders --max 1",
        "omq test                                      (every test this machine can run)",
    ];

    /// <summary>Creates the root command with all subcommands.</summary>
    public static RootCommand Create()
    {
        var root = new RootCommand(
            "The command line client of OrleansMq. 'omq up' runs a broker, 'omq test' the tests; both belong to the launcher ./omq.")
        {
            TopicCommands.Create(),
            GroupCommands.Create(),
            QueueCommands.Create(),
            ScheduleCommands.Create(),
            TransactionCommands.Create(),
            AmqpCommands.Create(),
            UserCommands.Create(),
            AclCommands.Create(),
            QuotaCommands.Create(),
            TicketCommands.Create(),
            ProduceCommand.Create(),
            ConsumeCommand.Create(),
            DeadLetterCommands.Create(),
            DumpCommand.Create(),
            BenchCommand.Create(),
            ClusterCommands.Create(),
            PartitionCommands.Create(),
            LeaderCommands.Create(),
            BrokerCommands.Create(),
            DatabaseCommands.Create(),
        };
        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!, Examples);
        return root;
    }
}
