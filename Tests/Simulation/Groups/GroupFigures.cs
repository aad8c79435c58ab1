namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>Counts what the runs did, so that a simulation of nothing fails.</summary>
internal sealed class GroupFigures : IFigures<GroupFigures>
{
    public long Seeds { get; set; }
    public long Steps { get; set; }
    /// <summary>Takeovers by a coordinator from another.</summary>
    public long Failovers { get; set; }
    /// <summary>Takeovers from a coordinator that lived on.</summary>
    public long Zombies { get; set; }
    public long Rebalances { get; set; }
    public long Commits { get; set; }
    /// <summary>Commits refused for their generation or epoch, or for lack of membership.</summary>
    public long Fenced { get; set; }
    public long Expired { get; set; }
    public long Migrations { get; set; }
    public long Unclear { get; set; }
    public long Resets { get; set; }
    /// <summary>Store reads before answers that a caller acts on.</summary>
    public long Confirmations { get; set; }
    /// <summary>Transactions that ended in the group.</summary>
    public long Transactions { get; set; }
    /// <summary>Commits refused since their transaction had ended.</summary>
    public long LateCommits { get; set; }
    /// <summary>Partitions that a fetch found with an offset of an open transaction.</summary>
    public long Unstable { get; set; }

    public void Add(GroupFigures other)
    {
        Seeds += other.Seeds;
        Steps += other.Steps;
        Failovers += other.Failovers;
        Zombies += other.Zombies;
        Rebalances += other.Rebalances;
        Commits += other.Commits;
        Fenced += other.Fenced;
        Expired += other.Expired;
        Migrations += other.Migrations;
        Unclear += other.Unclear;
        Resets += other.Resets;
        Confirmations += other.Confirmations;
        Transactions += other.Transactions;
        LateCommits += other.LateCommits;
        Unstable += other.Unstable;
    }

    public string Last =>
        $"seeds {Seeds}, events {Steps}, failovers {Failovers}, rebalances {Rebalances}, commits acknowledged {Commits}, refused {Fenced}";

    public override string ToString() =>
        $"{Seeds} seeds, {Steps} events, {Failovers} failovers ({Zombies} from a zombie), {Rebalances} rebalances, {Commits} commits "
        + $"acknowledged, {Fenced} fenced, "
        + $"{Expired} members expired, {Migrations} migrations, {Unclear} unclear writes, {Resets} resets, {Confirmations} confirmations"
        + (Transactions == 0 ? "" : $", {Transactions} transactions, {LateCommits} late commits, {Unstable} unstable");
}
