namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>basic.qos: limits the messages that are delivered and not acknowledged.</summary>
internal readonly record struct BasicQos(uint PrefetchSize, ushort PrefetchCount, bool Global) : IMethod
{
    public static MethodId Id => new(60, 10);

    MethodId IMethod.Id => Id;

    public static BasicQos Read(ref FieldReader reader) => new(reader.ReadUInt32(), reader.ReadUInt16(), reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt32(PrefetchSize);
        writer.WriteUInt16(PrefetchCount);
        writer.WriteBit(Global);
    }
}

/// <summary>basic.qos-ok: the limit is in force.</summary>
internal readonly record struct BasicQosOk : IMethod
{
    public static MethodId Id => new(60, 11);

    MethodId IMethod.Id => Id;

    public static BasicQosOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>basic.consume: starts a consumer.</summary>
internal readonly record struct BasicConsume(string Queue, string ConsumerTag, bool NoLocal, bool NoAck, bool Exclusive, bool NoWait,
    FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(60, 20);

    MethodId IMethod.Id => Id;

    public static BasicConsume Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(),
            reader.ReadBit(), reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteShortString(ConsumerTag);
        writer.WriteBit(NoLocal);
        writer.WriteBit(NoAck);
        writer.WriteBit(Exclusive);
        writer.WriteBit(NoWait);
        writer.WriteTable(Arguments);
    }
}

/// <summary>basic.consume-ok: the consumer is started.</summary>
internal readonly record struct BasicConsumeOk(string ConsumerTag) : IMethod
{
    public static MethodId Id => new(60, 21);

    MethodId IMethod.Id => Id;

    public static BasicConsumeOk Read(ref FieldReader reader) => new(reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(ConsumerTag);
    }
}

/// <summary>basic.cancel: ends a consumer. The server sends it too, where the queue is gone.</summary>
internal readonly record struct BasicCancel(string ConsumerTag, bool NoWait) : IMethod
{
    public static MethodId Id => new(60, 30);

    MethodId IMethod.Id => Id;

    public static BasicCancel Read(ref FieldReader reader) => new(reader.ReadShortString(), reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(ConsumerTag);
        writer.WriteBit(NoWait);
    }
}

/// <summary>basic.cancel-ok: the consumer is ended.</summary>
internal readonly record struct BasicCancelOk(string ConsumerTag) : IMethod
{
    public static MethodId Id => new(60, 31);

    MethodId IMethod.Id => Id;

    public static BasicCancelOk Read(ref FieldReader reader) => new(reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(ConsumerTag);
    }
}

/// <summary>basic.publish: publishes the content that follows.</summary>
internal readonly record struct BasicPublish(string Exchange, string RoutingKey, bool Mandatory, bool Immediate) : IMethod
{
    public static MethodId Id => new(60, 40);

    MethodId IMethod.Id => Id;

    public static BasicPublish Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadBit(), reader.ReadBit());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Exchange);
        writer.WriteShortString(RoutingKey);
        writer.WriteBit(Mandatory);
        writer.WriteBit(Immediate);
    }
}

/// <summary>basic.return: returns the content that follows: no queue took it.</summary>
internal readonly record struct BasicReturn(ushort ReplyCode, string ReplyText, string Exchange, string RoutingKey) : IMethod
{
    public static MethodId Id => new(60, 50);

    MethodId IMethod.Id => Id;

    public static BasicReturn Read(ref FieldReader reader) =>
        new(reader.ReadUInt16(), reader.ReadShortString(), reader.ReadShortString(), reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(ReplyCode);
        writer.WriteShortString(ReplyText);
        writer.WriteShortString(Exchange);
        writer.WriteShortString(RoutingKey);
    }
}

/// <summary>basic.deliver: delivers the content that follows to a consumer.</summary>
internal readonly record struct BasicDeliver(string ConsumerTag, ulong DeliveryTag, bool Redelivered, string Exchange,
    string RoutingKey) : IMethod
{
    public static MethodId Id => new(60, 60);

    MethodId IMethod.Id => Id;

    public static BasicDeliver Read(ref FieldReader reader) =>
        new(reader.ReadShortString(), reader.ReadUInt64(), reader.ReadBit(), reader.ReadShortString(), reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(ConsumerTag);
        writer.WriteUInt64(DeliveryTag);
        writer.WriteBit(Redelivered);
        writer.WriteShortString(Exchange);
        writer.WriteShortString(RoutingKey);
    }
}

/// <summary>basic.get: asks for one message.</summary>
internal readonly record struct BasicGet(string Queue, bool NoAck) : IMethod
{
    public static MethodId Id => new(60, 70);

    MethodId IMethod.Id => Id;

    public static BasicGet Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadBit());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteBit(NoAck);
    }
}

/// <summary>basic.get-ok: the message that follows; with how many are left.</summary>
internal readonly record struct BasicGetOk(ulong DeliveryTag, bool Redelivered, string Exchange, string RoutingKey,
    uint MessageCount) : IMethod
{
    public static MethodId Id => new(60, 71);

    MethodId IMethod.Id => Id;

    public static BasicGetOk Read(ref FieldReader reader) =>
        new(reader.ReadUInt64(), reader.ReadBit(), reader.ReadShortString(), reader.ReadShortString(), reader.ReadUInt32());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt64(DeliveryTag);
        writer.WriteBit(Redelivered);
        writer.WriteShortString(Exchange);
        writer.WriteShortString(RoutingKey);
        writer.WriteUInt32(MessageCount);
    }
}

/// <summary>basic.get-empty: the queue has no ready message.</summary>
internal readonly record struct BasicGetEmpty : IMethod
{
    public static MethodId Id => new(60, 72);

    MethodId IMethod.Id => Id;

    public static BasicGetEmpty Read(ref FieldReader reader)
    {
        reader.SkipShortString(); // Reserved.
        return default;
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(""); // Reserved.
    }
}

/// <summary>basic.ack: acknowledges deliveries, or, sent by the server, publishes.</summary>
internal readonly record struct BasicAck(ulong DeliveryTag, bool Multiple) : IMethod
{
    public static MethodId Id => new(60, 80);

    MethodId IMethod.Id => Id;

    public static BasicAck Read(ref FieldReader reader) => new(reader.ReadUInt64(), reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt64(DeliveryTag);
        writer.WriteBit(Multiple);
    }
}

/// <summary>basic.reject: refuses one delivery.</summary>
internal readonly record struct BasicReject(ulong DeliveryTag, bool Requeue) : IMethod
{
    public static MethodId Id => new(60, 90);

    MethodId IMethod.Id => Id;

    public static BasicReject Read(ref FieldReader reader) => new(reader.ReadUInt64(), reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt64(DeliveryTag);
        writer.WriteBit(Requeue);
    }
}

/// <summary>basic.recover-async: returns all deliveries that are not acknowledged, without an answer.</summary>
internal readonly record struct BasicRecoverAsync(bool Requeue) : IMethod
{
    public static MethodId Id => new(60, 100);

    MethodId IMethod.Id => Id;

    public static BasicRecoverAsync Read(ref FieldReader reader) => new(reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteBit(Requeue);
    }
}

/// <summary>basic.recover: returns all deliveries that are not acknowledged.</summary>
internal readonly record struct BasicRecover(bool Requeue) : IMethod
{
    public static MethodId Id => new(60, 110);

    MethodId IMethod.Id => Id;

    public static BasicRecover Read(ref FieldReader reader) => new(reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteBit(Requeue);
    }
}

/// <summary>basic.recover-ok: the deliveries are returned.</summary>
internal readonly record struct BasicRecoverOk : IMethod
{
    public static MethodId Id => new(60, 111);

    MethodId IMethod.Id => Id;

    public static BasicRecoverOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>basic.nack: refuses deliveries, or, sent by the server, publishes.</summary>
internal readonly record struct BasicNack(ulong DeliveryTag, bool Multiple, bool Requeue) : IMethod
{
    public static MethodId Id => new(60, 120);

    MethodId IMethod.Id => Id;

    public static BasicNack Read(ref FieldReader reader) => new(reader.ReadUInt64(), reader.ReadBit(), reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt64(DeliveryTag);
        writer.WriteBit(Multiple);
        writer.WriteBit(Requeue);
    }
}
