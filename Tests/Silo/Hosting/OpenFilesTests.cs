using OrleansMq.Silo.Hosting;

namespace OrleansMq.Tests.Silo.Hosting;

public sealed class OpenFilesTests
{
    [Theory]
    [InlineData(512, 128, 32, 96)]
    [InlineData(1024, 384, 96, 288)]
    [InlineData(4096, 1920, 480, 1440)]
    [InlineData(20_000, 4096, 3912, 11_736)]
    [InlineData(1_048_576, 4096, 10_000, 1_034_224)]
    public void Listeners_and_data_share_the_limit_and_leave_a_reserve(int limit, int data, int http, int kafka)
    {
        Assert.Equal(new OpenFiles(data, http, kafka), OpenFiles.Share(limit, 4096));
        Assert.Equal(limit - 256, data + http + kafka);
    }

    [Theory]
    [InlineData(1024, false, 0, 384, 0)]
    [InlineData(1_048_576, false, 0, 10_000, 0)]
    [InlineData(1024, true, 20, 20, 364)]
    [InlineData(1024, true, 5000, 288, 96)]
    [InlineData(1024, false, 5000, 384, 0)]
    [InlineData(1_048_576, true, 50_000, 50_000, 994_224)]
    public void Http_connections_are_set_by_the_operator_and_take_the_share_of_Kafka_clients_where_there_are_none(int limit,
        bool servesKafka, int maxHttp, int http, int kafka)
    {
        var shares = OpenFiles.Share(limit, 4096, servesKafka, maxHttp);
        Assert.Equal((http, kafka), (shares.Http, shares.Kafka));
    }

    [Theory]
    [InlineData(true, 0, 96, 144, 144)]
    [InlineData(false, 0, 96, 0, 288)]
    [InlineData(true, 20, 20, 182, 182)]
    public void Amqp_and_Kafka_clients_have_equal_shares(bool servesKafka, int maxHttp, int http, int kafka, int amqp) =>
        Assert.Equal(new OpenFiles(384, http, kafka, amqp), OpenFiles.Share(1024, 4096, servesKafka, maxHttp, servesAmqp: true));

    [Fact]
    public void Limit_is_read_from_what_the_system_says()
    {
        Assert.Equal(1024, OpenFiles.Parse("Limit          Soft Limit Hard Limit Units\nMax open files 1024       4096       files\n"));
        Assert.Equal(int.MaxValue, OpenFiles.Parse("Max open files            unlimited         unlimited        files\n"));
        Assert.Equal(int.MaxValue, OpenFiles.Parse(""));
        Assert.InRange(OpenFiles.FindLimit(), 1, int.MaxValue);
    }
}
