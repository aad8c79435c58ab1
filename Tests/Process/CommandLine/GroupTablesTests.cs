using OrleansMq.Cli.Groups;
using Spectre.Console;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>What the table of a share group's partitions shows.</summary>
public sealed class GroupTablesTests
{
    [Fact]
    public void Share_group_is_shown_by_partition_with_what_is_not_known_and_why()
    {
        var text = Text(GroupTables.Share(
        [
            new SharePartition(new TopicPartition("orders", 0), 40, 3, 7)
            {
                Accepted = 12,
                Rejected = 2,
                DeadLettered = 5,
                MemberIds = ["a", "b"],
            },
            new SharePartition(new TopicPartition("orders", 1), null, null, null)
            {
                Error = ErrorCode.LeaderNotAvailable,
                Message = "No leader.",
            },
        ]));
        Assert.Matches(@"orders\s+0\s+40\s+3\s+7\s+12\s+2\s+5\s+a b\s", text);
        Assert.Matches(@"orders\s+1\s+-\s+-\s+-\s+0\s+0\s+0\s+-\s", text);
        Assert.Contains("orders-1: No leader.", text, StringComparison.Ordinal);
        Assert.Contains("7 records left, 3 of them in flight.", text, StringComparison.Ordinal);
        Assert.Contains("reads no topic", Text(GroupTables.Share([])), StringComparison.Ordinal);
    }

    private static string Text(Spectre.Console.Rendering.IRenderable drawn)
    {
        using var text = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = 400;
        console.Write(drawn);
        return text.ToString();
    }
}
