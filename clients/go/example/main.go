package main

import (
	"context"
	"fmt"
	"log"
	"os"

	policyd "policyd.invalid/go"
)

func main() {
	client, err := policyd.New("127.0.0.1:8181")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	answer, err := client.Check(context.Background(), policyd.Question{
		Token:  os.Getenv("TOKEN"),
		API:    "health",
		Action: "read",
		Resource: policyd.Resource{
			Type:       "patient",
			ID:         "p1",
			Properties: map[string]any{"sealed": false},
		},
	})
	if refused, is := policyd.RefusalOf(answer, err); is {
		fmt.Println(refused.Status, refused.Header)
		return
	}
	fmt.Println("allowed")
}
