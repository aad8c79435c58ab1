using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Cli.Terminal;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Replicas;

/// <summary>Formats replicas, leaders and moves as tables.</summary>
internal static class ReplicaTables
{
    /// <summary>Lists the partitions being moved, one line each.</summary>
    public static IRenderable Moving(IReadOnlyList<PartitionReassignment> moving)
    {
        if (moving.Count == 0)
            return new Text("No partition is being moved.\n");
        var table = Output.NewTable("TOPIC", "PARTITION", "TARGET", "REPLICAS", "CATCHING UP", "LEAVING");
        foreach (var move in moving)
            table.AddRow(new Text(move.Topic), Number(move.Partition), Brokers(move.Target), Brokers(move.Replicas), Brokers(move.Adding),
                Brokers(move.Removing));
        return table;
    }

    /// <summary>Lists election results, one line each.</summary>
    public static IRenderable Elections(IReadOnlyList<LeaderElection> elections)
    {
        if (elections.Count == 0)
            return new Text("Every partition already has its preferred leader.\n");
        var table = Output.NewTable("TOPIC", "PARTITION", "LEADER", "OUTCOME");
        foreach (var election in elections)
        {
            var outcome = election.Error == ErrorCode.None ? "elected" : election.Error.ToString();
            table.AddRow(new Text(election.Topic), Number(election.Partition), election.Leader < 0
                ? new Text("none") : Number(election.Leader),
                new Text(election.Message is null ? outcome : $"{outcome}: {election.Message}"));
        }
        return table;
    }

    /// <summary>Shows the planned moves, and what each broker would hold.</summary>
    public static IRenderable Plan(RebalancePlan plan, bool withHint)
    {
        var rows = new List<IRenderable> { new Text(plan.Summary + "\n") };
        if (plan.Moves.Count > 0)
        {
            var moves = Output.NewTable("TOPIC", "PARTITION", "FROM", "TO", "WHY");
            foreach (var move in plan.Moves)
                moves.AddRow(new Text(move.Topic), Number(move.Partition), Brokers(move.From), Brokers(move.To), new Text(move.Reason));
            rows.Add(moves);
            rows.Add(new Text(""));
        }
        var shares = Output.NewTable("BROKER", "REPLICAS", "THEN", "PREFERRED LEADER OF", "THEN");
        foreach (var share in plan.Shares)
            shares.AddRow(Number(share.BrokerId), Number(share.ReplicasBefore), Number(share.ReplicasAfter),
                Number(share.PreferredLeadersBefore), Number(share.PreferredLeadersAfter));
        rows.Add(shares);
        if (withHint && plan.Moves.Count > 0)
            rows.Add(new Text("\nNothing has moved. Execute the plan: omq cluster rebalance --execute"));
        return new Rows(rows);
    }

    /// <summary>Shows the progress of a rebalance, with its current moves.</summary>
    public static IRenderable Status(RebalanceStatus status) =>
        status.Moving.Count == 0 ? new Text(OneLine(status) + "\n") : new Rows(new Text(OneLine(status) + "\n"), Moving(status.Moving));

    /// <summary>Formats the progress of a rebalance as one line.</summary>
    public static string OneLine(RebalanceStatus status)
    {
        var skipped = status.Skipped > 0 ? $", {status.Skipped} skipped" : "";
        var message = status.Message is null ? "" : $": {status.Message}";
        var state = status.State.ToString().ToLowerInvariant();
        return string.Create(CultureInfo.InvariantCulture,
            $"Rebalance ({status.Reason}) {state}: {status.Done} of {status.Moves} partitions moved{skipped}{message}");
    }

    /// <summary>Formats broker numbers.</summary>
    public static Text Brokers(IReadOnlyList<int>? brokers) => new(brokers is null or [] ? "-" : string.Join(',', brokers));

    /// <summary>Formats a number.</summary>
    public static Text Number(long number) => new(number.ToString(CultureInfo.InvariantCulture));
}
