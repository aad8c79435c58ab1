using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Client;

namespace OrleansMq.Cli.Clusters;

/// <summary><c>omq cluster ...</c>: runs a local cluster, and administers any cluster.</summary>
internal static class ClusterCommands
{
    // As many as a laptop can run. A higher number is probably a typing error.
    private const int MostSilos = 32;

    /// <summary>Creates the command.</summary>
    public static Command Create() => new OmqCommand("cluster", "Runs a whole cluster on this machine, and administers any cluster.",
        "omq cluster up --silos 3", "omq cluster status")
    {
        Up(), Add(), Status(), RebalanceCommand.Create(),
    };

    private static OmqCommand Up()
    {
        var silos = new Option<int?>("--silos") { Description = $"The number of brokers, 1 to {MostSilos}. "
            + $"By default {ClusterRoster.DefaultSilos}, or as many as --data already has.", HelpName = "N" };
        var data = new Option<string>("--data") { Description =
            "The directory of the cluster, which a later start can reuse; by default a temporary one.", HelpName = "DIR" };
        var postgres = new Databases.PostgresOption("The database to use; by default a private PostgreSQL server.");
        var racks = new Option<string>("--racks") { Description =
            "Racks for new silos, assigned in turn: replicas are spread over them.", HelpName = "A,B,C" };
        var restart = new Option<bool>("--restart") { Description =
            "Restart processes that exit unexpectedly. Otherwise the exit is only reported." };
        var amqp = new Option<bool>("--amqp") { Description = "Serve AMQP 0-9-1, for RabbitMQ's clients, on every broker." };
        var secure = new Option<bool>("--secure") { Description = "Secure it: TLS on every port with certificates of an authority of "
            + "its own, the user admin with a password, and nothing allowed to others without a rule. A directory that was secured stays "
            + "so." };
        var flags = new Argument<string[]>("BROKER-FLAGS") { Description =
            "After '--': additional flags for every broker, such as --flush sync.", Arity = ArgumentArity.ZeroOrMore };
        var command = new OmqCommand("up", """
            Runs a cluster of several broker processes on free ports of 127.0.0.1, with a private PostgreSQL, in the foreground.
            It prints a line for each broker that serves; the brokers log to files. Ctrl-C stops all of them in order;
            where this process is killed, they stop too (on Linux).
            """.ReplaceLineEndings(" "),
            "omq cluster up --silos 3", "omq cluster up --data ./cluster --racks east,west --restart", "omq cluster up --secure",
            "omq cluster up -- --flush sync")
        { silos, data, postgres.Connection, postgres.File, racks, restart, amqp, secure, flags };
        var json = JsonOption.AddTo(command,
            "Write one JSON object per line: {\"cluster\":...}, {\"postgres\":...}, one with brokerId for each broker, {\"ended\":...}.");
        command.SetAction((parsed, cancellationToken) =>
        {
            RefuseWithoutOrleans();
            var options = new LocalClusterOptions
            {
                Silos = Checked(parsed.GetValue(silos)),
                Directory = parsed.GetValue(data),
                Postgres = postgres.Read(parsed),
                Racks = RackNames(parsed.GetValue(racks)),
                Restart = parsed.GetValue(restart),
                Amqp = parsed.GetValue(amqp),
                Secure = parsed.GetValue(secure),
                BrokerFlags = Flags(parsed.GetValue(flags) ?? []),
            };
            return LocalCluster.RunAsync(options, new ClusterEvents(parsed.GetValue(json)), cancellationToken);
        });
        return command;
    }

    private static OmqCommand Add()
    {
        var data = new Option<string>("--data") { Description = "The directory of the running cluster; 'omq cluster up' prints it.",
            HelpName = "DIR", Required = true };
        var rack = new Option<string>("--rack") { Description = "The new silo's rack.", HelpName = "NAME" };
        var command = new OmqCommand("add",
            "Adds a silo to the cluster that 'omq cluster up' runs on this machine. 'omq cluster rebalance' then gives it its share.",
            "omq cluster add --data ./cluster --rack east") { data, rack };
        var json = JsonOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var line = await ControlSocket.AskAsync(parsed.GetRequiredValue(data), new AddOrder(parsed.GetValue(rack)),
                cancellationToken).ConfigureAwait(false);
            new ClusterEvents(parsed.GetValue(json)).BrokerReady(line);
        });
        return command;
    }

    private static OmqCommand Status()
    {
        var command = new OmqCommand("status", "Shows a cluster's brokers, and the partitions that lack a leader or in-sync replicas.",
            "omq cluster status",
            "omq cluster status --json | jq '.offlinePartitions'");
        BrokerCall.Show(command, (broker, _, cancellationToken) => broker.DescribeClusterAsync(cancellationToken),
            HttpJson.Default.ClusterDescription, ClusterTables.Status);
        return command;
    }

    private static void RefuseWithoutOrleans()
    {
#if !ORLEANS
        throw CommandFailedException.Refused("This build has no Orleans, and so no cluster: it runs one broker ('omq up'). "
            + "Make the Microsoft.Orleans packages available to NuGet, then OMQ_ORLEANS=true ./omq cluster up.");
#endif
    }

    private static int? Checked(int? silos) => silos is null or (>= 1 and <= MostSilos)
        ? silos
        : throw CommandFailedException.Usage($"--silos {silos}: expected a whole number from 1 to {MostSilos}.");

    private static string[] RackNames(string? racks)
    {
        var names = racks?.Split(',', StringSplitOptions.TrimEntries) ?? [];
        return names.Any(name => name.Length == 0)
            ? throw CommandFailedException.Usage($"--racks '{racks}': one name is empty. Write them like --racks east,west.")
            : names;
    }

    private static string[] Flags(string[] flags) => flags is [] or [['-', ..], ..]
        ? flags
        : throw CommandFailedException.Usage($"'{flags[0]}' is not an option of this command. Pass flags for the brokers after '--', "
        + "such as: omq cluster up -- --flush sync");
}
