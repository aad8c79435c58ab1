using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;
using OrleansMq.Testing;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.PostgreSql.Outbox;

/// <summary>Runs the program that the page about the outbox shows, with the test's own servers.</summary>
public sealed class OutboxPageTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    private const string Page = "Client/OrleansMq.Client.PostgreSql/OUTBOX.md";

    // Those of this file, and that of the namespace which the tests are in.
    private const string Usings = """
        using Microsoft.Extensions.DependencyInjection;
        using Microsoft.Extensions.Hosting;
        using Npgsql;
        using OrleansMq;
        using OrleansMq.Client;
        using OrleansMq.Client.PostgreSql;
        """;

    [Fact]
    public void Page_shows_this_code() => ReadmeSection.AssertIs(Page,
        $"```csharp\n{Usings}\n\n{OfPage(ReadmeSection.Code("program"))}\n```\n",
        "<!-- program: from OutboxPageTests.cs -->", "<!-- end of program -->");

    [SkippableFact]
    public async Task Program_of_the_page_sends_what_its_transaction_commits()
    {
        var connectionString = await postgres.DatabaseAsync();
        await using var test = await TestBroker.StartAsync();
        var broker = test.Broker;
        string[] args = [];
        var written = new StringWriter();
        var printed = Console.Out;
        Console.SetOut(TextWriter.Synchronized(written));
        try
        {
            // program
            await using var database = NpgsqlDataSource.Create(connectionString);
            await OutboxTables.CreateAsync(database);                   // once, or run OutboxTables.Script yourself

            var builder = Host.CreateApplicationBuilder(args);
            builder.Services.AddSingleton(database);
            builder.Services.AddOrleansMqClient().UseBroker(broker).AddTopic("orders").AddPostgresOutbox();
            using var host = builder.Build();
            await host.StartAsync();                                    // runs the relay, too

            var outbox = host.Services.GetRequiredService<PostgresOutbox>();
            await using (var connection = await database.OpenConnectionAsync())
            {
                await using var transaction = await connection.BeginTransactionAsync();
                const string Sale = "CREATE TABLE IF NOT EXISTS sale (item text); INSERT INTO sale VALUES ('two apples')";
                await using (var insert = new NpgsqlCommand(Sale, connection, transaction))
                    await insert.ExecuteNonQueryAsync();
                await outbox.AddAsync(transaction, "orders", "ada", "two apples");
                await transaction.CommitAsync();
            }

            await using var reader = host.Services.GetRequiredService<OrleansMqClient>().CreatePartitionReader<string, string>();
            reader.Assign(new TopicPartition("orders", 0), ReadFrom.Earliest);
            Console.WriteLine((await reader.ReadAsync()).Value);
            await host.StopAsync();
            // end of program
        }
        finally
        {
            Console.SetOut(printed);
        }
        Assert.Contains("two apples", written.ToString(), StringComparison.Ordinal);
        Assert.Equal(["two apples"], await PostgreSqlFixture.ReadAsync<string>(connectionString, "SELECT item FROM sale"));
    }

    private static string OfPage(string code) => code
        .Replace("(connectionString)", "(\"Host=localhost;Username=shop;Password=secret;Database=shop\")", StringComparison.Ordinal)
        .Replace("UseBroker(broker)", "UseHttp(new Uri(\"http://127.0.0.1:8080\"))", StringComparison.Ordinal);
}
