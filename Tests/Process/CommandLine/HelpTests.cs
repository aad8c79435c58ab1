using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>Help for every command with an example each; invalid usage is distinguished from every other error.</summary>
public sealed class HelpTests
{
    /// <summary>The words of every command.</summary>
    public static TheoryData<string> Commands()
    {
        var data = new TheoryData<string>("");
        Add(OmqCommandLine.Create(), "");
        return data;

        void Add(Command command, string path)
        {
            foreach (var below in command.Subcommands)
            {
                var words = (path + " " + below.Name).Trim();
                data.Add(words);
                Add(below, words);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public async Task Every_command_has_help_with_an_example(string words)
    {
        var (code, output, error) = await RunAsync([.. words.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]);

        Assert.Equal(0, code);
        Assert.Matches($"Examples?:\n  (.*\\| )?omq {words}", output);
        Assert.Empty(error);
    }

    [Fact]
    public async Task Broker_help_has_an_example()
    {
        var outcome = (await RunningProgram.OmqAsync(["up", "--help"])).Expect(0);

        Assert.Contains("--data", outcome.Text, StringComparison.Ordinal);
        Assert.Contains("omq up", outcome.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("topic")]
    [InlineData("topic crate orders")]
    [InlineData("topic create")]
    [InlineData("topic create orders --partitions three")]
    [InlineData("topic create orders --config retention.ms")]
    [InlineData("topic alter orders")]
    [InlineData("produce")]
    [InlineData("produce orders --acks 2")]
    [InlineData("produce orders --compression zip")]
    [InlineData("produce orders --partition -1")]
    [InlineData("produce orders --partition one")]
    [InlineData("consume")]
    [InlineData("consume orders --offset middle")]
    [InlineData("consume orders --max 0")]
    [InlineData("consume orders --group billing --offset middle")]
    [InlineData("consume orders --group billing --partition 1")]
    [InlineData("consume orders --group billing --offset 3")]
    [InlineData("group")]
    [InlineData("group describe")]
    [InlineData("group reset billing")]
    [InlineData("group reset billing --to-earliest")]
    [InlineData("group reset billing --topic orders")]
    [InlineData("group reset billing --topic orders --all-topics --to-earliest")]
    [InlineData("group reset billing --topic orders --to-earliest --to-latest")]
    [InlineData("group reset billing --topic orders --topic orders:1 --to-latest")]
    [InlineData("group reset billing --topic orders:x --to-latest")]
    [InlineData("group reset billing --topic orders --to-offset -1")]
    [InlineData("group reset billing --topic orders --to-datetime 01/02/2026")]
    [InlineData("group reset billing --topic orders --to-datetime 1969-01-01")]
    [InlineData("group reset billing --topic orders --by-duration 3")]
    [InlineData("group reset billing --topic orders --by-duration P1X")]
    [InlineData("group reset billing --topic orders --shift-by few")]
    [InlineData("group reset billing --topic orders --from-file offsets.csv")]
    [InlineData("queue")]
    [InlineData("queue create orders")]
    [InlineData("queue create orders mails --from middle")]
    [InlineData("queue create orders mails --max-failures -1")]
    [InlineData("queue create orders mails --retry-delay 3")]
    [InlineData("queue peek orders mails --max 0")]
    [InlineData("queue peek orders mails --json --key-separator ,")]
    [InlineData("queue reset orders mails")]
    [InlineData("queue reset orders mails --to-earliest --to-latest")]
    [InlineData("queue reset orders mails --by-duration few")]
    [InlineData("queue reset orders mails --to-offset 5")]
    [InlineData("queue consume orders")]
    [InlineData("queue consume orders mails --max 0")]
    [InlineData("schedule")]
    [InlineData("schedule create orders")]
    [InlineData("schedule create orders value --partition -2 --in 1s")]
    [InlineData("schedule list --max 0")]
    [InlineData("schedule cancel orders")]
    [InlineData("transaction")]
    [InlineData("transaction describe")]
    [InlineData("transaction abort")]
    [InlineData("transaction list billing-1")]
    [InlineData("amqp")]
    [InlineData("amqp import-definitions")]
    [InlineData("amqp import-definitions file --from http://127.0.0.1:1")]
    [InlineData("amqp import-definitions --from 127.0.0.1:1")]
    [InlineData("amqp shovel --queue orders")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1")]
    [InlineData("amqp shovel --from http://127.0.0.1:1 --queue orders")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1/a/b --queue orders")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --to amqp://127.0.0.1:1/ --queue orders")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --all")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --all --queue orders")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --queue orders --queue mails --follow")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --queue orders --to-key k")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --queue orders --to-queue a --to-exchange b")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --queue orders --prefetch 0")]
    [InlineData("amqp shovel --from amqp://127.0.0.1:1 --queue orders --retry 3")]
    [InlineData("dump")]
    [InlineData("db")]
    [InlineData("db migrate")]
    [InlineData("db migrate --postgres nowhere")]
    [InlineData("db migrate --postgres Port=5432")]
    [InlineData("db migrate --postgres-file /nowhere/omq-postgres")]
    [InlineData("bench")]
    [InlineData("bench produce --records 0")]
    [InlineData("topic list --server ftp://127.0.0.1")]
    [InlineData("topic list --server 127.0.0.1:8080,")]
    [InlineData("cluster")]
    [InlineData("cluster add")]
    [InlineData("cluster rebalance --throttle 2")]
    [InlineData("cluster rebalance --execute --throttle 0")]
    [InlineData("cluster rebalance --execute --cancel")]
    [InlineData("cluster rebalance --auto maybe")]
    [InlineData("partition reassign orders 0")]
    [InlineData("partition reassign orders 0 --replicas 1,2,2")]
    [InlineData("partition reassign orders 0 --replicas one")]
    [InlineData("partition reassign orders first --replicas 1")]
    [InlineData("leader elect")]
    [InlineData("leader elect preferred --partition 0")]
    [InlineData("leader elect unclean orders 0")]
    [InlineData("broker drain")]
    [InlineData("broker remove -1")]
    public async Task Invalid_usage_exits_2_with_one_line(string words)
    {
        var (code, output, error) = await RunAsync(words.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.Equal(2, code);
        Assert.StartsWith("omq: ", error, StringComparison.Ordinal);
        Assert.DoesNotContain("System.", error, StringComparison.Ordinal);
        Assert.Empty(output);
    }

    /// <summary>The words of every command that takes values without an option's name, with as many of them as it needs.</summary>
    public static TheoryData<string> CommandsWithValues()
    {
        var data = new TheoryData<string>();
        Add(OmqCommandLine.Create(), "");
        return data;

        void Add(Command command, string path)
        {
            if (command.Arguments.Count > 0)
                data.Add($"{path} {string.Join(' ', command.Arguments.Select(static argument => argument.ValueType == typeof(int) ? "1"
                    : "a").SkipLast(1))}".Trim());
            foreach (var below in command.Subcommands)
                Add(below, (path + " " + below.Name).Trim());
        }
    }

    [Theory]
    [MemberData(nameof(CommandsWithValues))]
    public async Task Mistyped_option_is_no_value(string words)
    {
        var command = OmqCommandLine.Create().Parse(words).CommandResult.Command;
        var required = command.Options.Where(static option => option.Required).SelectMany(static option => new[] { option.Name, "1" });
        foreach (var mistyped in new[] { "--nope", "-n" })
        {
            var (code, output, error) = await RunAsync([.. words.Split(' '), mistyped, .. required]);
            Assert.Equal(2, code);
            Assert.StartsWith($"omq: '{mistyped}' is no option of 'omq ", error, StringComparison.Ordinal);
            Assert.Empty(output);
        }
    }

    [Theory]
    [InlineData("topic create --partition 3", "--partition")]
    [InlineData("topic delete orders --nope", "--nope")]
    [InlineData("topic delete --nope -- --orders", "--nope")]
    [InlineData("cluster up --silo 3", "--silo")]
    public async Task Mistyped_option_is_named_with_the_way_to_write_such_a_value(string words, string mistyped)
    {
        var (code, _, error) = await RunAsync(words.Split(' '));
        var command = string.Join(' ', words.Split(' ').Take(2));
        Assert.Equal(2, code);
        Assert.StartsWith($"omq: '{mistyped}' is no option of 'omq {command}'. A value that begins with '-' comes after '--', behind the "
            + $"options: omq {command} -- {mistyped}", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("topic describe --server 127.0.0.1:1 -- --nope")]
    [InlineData("schedule create orders -5 --in 1h --server 127.0.0.1:1")]
    [InlineData("schedule create --in 1h --server 127.0.0.1:1 -- orders --value")]
    public async Task Value_that_begins_with_a_dash_comes_after_two_of_them(string words)
    {
        var (code, _, error) = await RunAsync(words.Split(' '));
        Assert.Equal(3, code);
        Assert.DoesNotContain("no option", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Process_prints_help_and_refuses_invalid_usage()
    {
        var help = (await RunningProgram.OmqAsync(["topic", "create", "--help"])).Expect(0);
        Assert.Contains("omq topic create", help.Text, StringComparison.Ordinal);
        Assert.Empty(help.Error);

        var refused = (await RunningProgram.OmqAsync(["topic", "create"])).Expect(2);
        Assert.StartsWith("omq: ", refused.Error, StringComparison.Ordinal);
        Assert.Empty(refused.Output);
    }

    [Theory]
    [InlineData("topic list")]
    [InlineData("topic create orders")]
    [InlineData("topic describe orders")]
    [InlineData("topic alter orders --config retention.ms=1")]
    [InlineData("topic add-partitions orders --partitions 2")]
    [InlineData("topic delete orders")]
    [InlineData("produce orders")]
    [InlineData("consume orders")]
    [InlineData("consume orders --group billing")]
    [InlineData("group list")]
    [InlineData("group describe billing")]
    [InlineData("group lag billing")]
    [InlineData("group reset billing --all-topics --to-earliest")]
    [InlineData("group delete billing")]
    [InlineData("queue create orders mails")]
    [InlineData("queue list orders")]
    [InlineData("queue describe orders mails")]
    [InlineData("queue peek orders mails")]
    [InlineData("queue reset orders mails --to-latest")]
    [InlineData("queue purge orders mails")]
    [InlineData("queue delete orders mails")]
    [InlineData("queue consume orders mails")]
    [InlineData("schedule create orders value --in 1h")]
    [InlineData("schedule list")]
    [InlineData("schedule cancel orders x")]
    [InlineData("transaction list")]
    [InlineData("transaction describe billing-1")]
    [InlineData("transaction abort billing-1")]
    [InlineData("cluster status")]
    [InlineData("cluster rebalance")]
    [InlineData("cluster rebalance --status")]
    [InlineData("partition reassign orders 0 --replicas 1,2")]
    [InlineData("partition list-moving")]
    [InlineData("leader elect preferred")]
    [InlineData("leader elect unclean orders 0 --accept-data-loss")]
    [InlineData("broker drain 1")]
    [InlineData("broker resume 1")]
    [InlineData("broker remove 1")]
    public async Task Unresponsive_broker_exits_3(string words)
    {
        // Port 1 is privileged and unused, so the connection is refused.
        var outcome = (await RunningProgram.OmqAsync([.. words.Split(' '), "--server", "http://127.0.0.1:1"])).Expect(3);

        Assert.Contains("127.0.0.1:1", outcome.Error, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    // In this process: a process for each of them would take a second.
    private static async Task<(int Code, string Output, string Error)> RunAsync(string[] words)
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        var code = await Cli.Program.RunAsync(words, output, error);
        return (code, output.ToString(), error.ToString());
    }
}
