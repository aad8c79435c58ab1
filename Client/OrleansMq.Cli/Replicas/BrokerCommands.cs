using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Replicas;

/// <summary><c>omq broker ...</c>: removes brokers from a cluster.</summary>
internal static class BrokerCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() => new OmqCommand("broker", "Removes brokers from a cluster: drain, stop, remove.",
        "omq broker drain 3 --wait", "omq broker remove 3")
    {
        Drain(), Resume(), Remove(),
    };

    private static OmqCommand Drain()
    {
        var number = BrokerCall.BrokerArgument();
        var command = new OmqCommand("drain", "Moves all leaders and then all replicas away from a broker; it gets no new ones. "
            + "Continues on its own; 'omq broker resume' ends it.",
            "omq broker drain 3 --wait")
        { number };
        var (server, json, wait) = (ServerOption.AddTo(command), JsonOption.AddTo(command), RebalanceProgress.WaitOption(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var status = await broker.Administration.DrainBrokerAsync(parsed.GetValue(number), cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(wait))
                status = await RebalanceProgress.WaitAsync(broker, status, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(status, HttpJson.Default.RebalanceStatus);
            else
                Output.Write(ReplicaTables.Status(status));
        });
        return command;
    }

    private static OmqCommand Resume()
    {
        var number = BrokerCall.BrokerArgument();
        var command = new OmqCommand("resume", "Ends the draining of a broker: it gets replicas again. Completed moves "
            + "stay.", "omq broker resume 3") { number };
        BrokerCall.Tell(command,
            (broker, parsed, cancellationToken) => broker.Administration.ResumeBrokerAsync(parsed.GetValue(number), cancellationToken),
            parsed => $"Broker {parsed.GetValue(number)} gets replicas again; 'omq cluster rebalance' gives it its share.");
        return command;
    }

    private static OmqCommand Remove()
    {
        var number = BrokerCall.BrokerArgument();
        var command = new OmqCommand("remove", "Removes a broker permanently. It must be drained and stopped, or dead and hold "
            + "no replicas.", "omq broker remove 3") { number };
        BrokerCall.Tell(command,
            (broker, parsed, cancellationToken) => broker.Administration.RemoveBrokerAsync(parsed.GetValue(number), cancellationToken),
            parsed => $"Broker {parsed.GetValue(number)} is forgotten.");
        return command;
    }
}
