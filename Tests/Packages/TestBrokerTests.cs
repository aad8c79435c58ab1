namespace OrleansMq.Tests.Packages;

/// <summary>A test project made from nothing, with a broker in its process.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class TestBrokerTests(PackageFeed feed)
{
    [Fact]
    public async Task Test_project_with_the_testing_package_alone_passes()
    {
        var project = Directory.CreateDirectory(feed["Shop.Tests"]).FullName;
        await File.WriteAllTextAsync(Path.Combine(project, "Shop.Tests.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="OrleansMq.Testing" Version="{feed.Version}" />
                <PackageReference Include="Microsoft.NET.Test.Sdk" Version="18.0.1" />
                <PackageReference Include="xunit" Version="2.9.3" />
                <PackageReference Include="xunit.runner.visualstudio" Version="3.1.5" />
              </ItemGroup>
            </Project>
            """);
        await File.WriteAllTextAsync(Path.Combine(project, "OrderTests.cs"), """
            using OrleansMq.Client;
            using OrleansMq.Testing;
            using Xunit;

            public sealed class OrderTests
            {
                [Fact]
                public async Task Order_is_read_as_it_was_sent()
                {
                    await using var broker = await TestBroker.StartAsync();
                    await broker.Client.Admin.EnsureTopicAsync("orders");
                    await using var producer = broker.Client.CreateProducer<string, string>();
                    await producer.SendAsync(new("orders", "customer-7", "two apples"));
                    await using var consumer = broker.Client.CreateConsumer<string, string>(
                        new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
                    consumer.Subscribe("orders");
                    await foreach (var record in consumer)
                    {
                        Assert.Equal(("customer-7", "two apples"), (record.Key, record.Value));
                        break;
                    }
                }
            }
            """);

        var outcome = (await feed.RunAsync("dotnet", ["test", "-nologo", "-nodeReuse:false"], project)).Expect(0);

        Assert.Contains("Passed:     1", outcome.Text, StringComparison.Ordinal);
    }
}
