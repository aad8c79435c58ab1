using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;

namespace OrleansMq.Cli.Replicas;

/// <summary>Waits for the end of a rebalance.</summary>
internal static class RebalanceProgress
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(300);

    /// <summary>Creates the option <c>--wait</c> and adds it to a command.</summary>
    public static Option<bool> WaitOption(Command command)
    {
        var wait = new Option<bool>("--wait") { Description = "Return when it is done." };
        command.Options.Add(wait);
        return wait;
    }

    /// <summary>Polls until the rebalance has ended.</summary>
    /// <exception cref="CommandFailedException">Another rebalance replaced it.</exception>
    public static async Task<RebalanceStatus> WaitAsync(IBroker broker, RebalanceStatus status, CancellationToken cancellationToken)
    {
        var last = status;
        using var progress = new ProgressLine(() => ReplicaTables.OneLine(last));
        while (last.State is RebalanceState.Running or RebalanceState.Cancelling)
        {
            await Task.Delay(Poll, cancellationToken).ConfigureAwait(false);
            last = await broker.Administration.GetRebalanceAsync(cancellationToken).ConfigureAwait(false) is { } next
                && next.PlanId == status.PlanId
                ? next
                : throw CommandFailedException.Refused("Another rebalance has replaced it: see omq cluster rebalance --status.");
        }
        return last;
    }
}
