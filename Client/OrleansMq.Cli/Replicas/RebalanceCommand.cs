using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Replicas;

/// <summary><c>omq cluster rebalance</c>: plans moves, executes them, shows their progress, cancels them.</summary>
internal static class RebalanceCommand
{
    /// <summary>Creates the command.</summary>
    public static OmqCommand Create()
    {
        var execute = new Option<bool>("--execute") { Description = "Also execute the plan. Execution continues on its own, also after "
            + "the failure of a broker." };
        var throttle = new Option<int?>("--throttle") { Description = "With --execute: how many partitions move at the same time, "
            + "1 to 1000; 4 by default.", HelpName = "N" }.AtLeast(1);
        var bytes = new Option<long?>("--throttle-bytes")
        {
            Description = "With --execute: the most bytes per second that each broker sends to replicas that are catching up; no limit "
                + "by default. Replicas in sync are not throttled.",
            HelpName = "N",
        }.AtLeast(1);
        var status = new Option<bool>("--status") { Description = "Show the progress of the running rebalance, or the last result." };
        var cancel = new Option<bool>("--cancel") { Description = "Stop the running rebalance: completed moves stay, moves in progress "
            + "are reverted." };
        var auto = new Option<string>("--auto") { Description = "Whether joining brokers are given their share automatically from now on.",
            HelpName = "on|off" };
        auto.AcceptOnlyFromAmong("on", "off");
        var command = new OmqCommand("rebalance",
            "Shows the moves after which every broker holds and leads its share. Nothing moves without --execute.",
            "omq cluster rebalance", "omq cluster rebalance --execute --throttle 2 --throttle-bytes 50000000 --wait",
            "omq cluster rebalance --status", "omq cluster rebalance --cancel")
        { execute, throttle, bytes, status, cancel, auto };
        var (server, json, wait) = (ServerOption.AddTo(command), JsonOption.AddTo(command), RebalanceProgress.WaitOption(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (new[] { parsed.GetValue(execute), parsed.GetValue(status), parsed.GetValue(cancel),
                parsed.GetValue(auto) is not null }.Count(given => given) > 1)
                throw CommandFailedException.Usage("--execute, --status, --cancel and --auto exclude each other; give one of them.");
            if ((parsed.GetValue(throttle) is not null || parsed.GetValue(bytes) is not null) && !parsed.GetValue(execute))
                throw CommandFailedException.Usage("--throttle and --throttle-bytes limit the speed of moves, and nothing moves without "
                    + "--execute.");
            using var broker = server.Connect(parsed);
            var answer = new Answer(broker, parsed.GetValue(json), parsed.GetValue(wait), cancellationToken);
            if (parsed.GetValue(auto) is { } onOrOff)
                await answer.SwitchAsync(onOrOff == "on").ConfigureAwait(false);
            else if (parsed.GetValue(cancel))
                await answer.ShowAsync(
                    await broker.Administration.CancelRebalanceAsync(cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
            else if (parsed.GetValue(status))
                await answer.ShowAsync(
                    await broker.Administration.GetRebalanceAsync(cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
            else
                await answer.PlanAsync(parsed.GetValue(execute),
                    Throttle(parsed.GetValue(throttle), parsed.GetValue(bytes))).ConfigureAwait(false);
        });
        return command;
    }

    private static RebalanceThrottle Throttle(int? partitions, long? bytes)
    {
        var usual = new RebalanceThrottle();
        return new RebalanceThrottle(partitions ?? usual.MaxPartitions, bytes ?? usual.MaxBytesPerSecond);
    }

    /// <summary>Executes the command and shows the result.</summary>
    private sealed class Answer(IBroker broker, bool json, bool wait, CancellationToken cancellationToken)
    {
        public async Task PlanAsync(bool execute, RebalanceThrottle throttle)
        {
            var plan = await broker.Administration.PlanRebalanceAsync(cancellationToken).ConfigureAwait(false);
            if (!json)
                Output.Write(ReplicaTables.Plan(plan, withHint: !execute));
            else if (!execute)
                Output.WriteJson(plan, HttpJson.Default.RebalancePlan);
            if (execute && (json || plan.Moves.Count > 0))
                await ShowAsync(await broker.Administration.ExecuteRebalanceAsync(plan.PlanId, throttle,
                    cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
        }

        public async Task ShowAsync(RebalanceStatus? status)
        {
            if (wait && status is not null)
                status = await RebalanceProgress.WaitAsync(broker, status, cancellationToken).ConfigureAwait(false);
            if (json)
                Output.WriteJson(status, HttpJson.Default.RebalanceStatus!);
            else if (status is null)
                Output.WriteLine("There has been no rebalance yet.");
            else
                Output.Write(ReplicaTables.Status(status));
        }

        public async Task SwitchAsync(bool on)
        {
            await broker.Administration.SetAutoRebalanceAsync(on, cancellationToken).ConfigureAwait(false);
            Output.WriteLine(on ? "Joining brokers are given their share automatically."
                : "Joining brokers get no replicas before a rebalance is requested.");
        }
    }
}
